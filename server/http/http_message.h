// HTTP requests and responses as plain values; only session and listener know the network.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/api_error.h"
#include "server/http/body_budget.h"

namespace ft::server {

using Header = std::pair<std::string, std::string>;

struct HttpRequest {
  std::string method;           // "GET"
  std::string target;           // "/v1/models?x=1"
  std::vector<Header> headers;  // names in lower case
  std::string body;
  BodyLease body_lease;  // what the body counts against the bodies of all connections
  bool http11 = true;
  bool keep_alive = true;
  std::string id;  // x-request-id: the client's if it is sane, else ours
  std::chrono::steady_clock::time_point arrived = std::chrono::steady_clock::now();

  // A copy of everything but the body.
  HttpRequest without_body() const;
  // Frees the body, which nobody needs once it is understood.
  void release_body() {
    std::string().swap(body);
    body_lease.release();
  }

  // Value of the first header of that (lower-case) name, "" when absent.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<Header> headers;
};

HttpResponse json_response(std::string body);
// With the status and headers of `error`; `body` is the error as its API writes it.
HttpResponse error_response(const ApiError& error, std::string body);

// Status line and headers up to the empty line. `extra` are sent besides the response's own. Without
// `content_length` the body is framed by chunks (HTTP/1.1) or by the end of the connection.
std::string response_head(const HttpRequest& request, const HttpResponse& response,
                          const std::vector<Header>& extra, bool content_length, bool keep_alive);

// Letters, digits, '-', '_', '.', ':' only, at most 128: safe to log and to send back.
bool is_sane_request_id(std::string_view id);

}  // namespace ft::server
