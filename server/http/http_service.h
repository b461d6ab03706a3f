// What the HTTP server needs of the program behind it, and what that may answer.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/http/api_error.h"
#include "server/http/http_message.h"

namespace ft::server {

// A response that comes into being while something else works on it. One thread at a time.
class PendingResponse {
 public:
  virtual ~PendingResponse() = default;

  // Whether it is sent as server-sent events, as they come, or as a whole at its end.
  virtual bool stream() const = 0;
  // Takes a bounded part of what is there; a streamed one appends its events to `out`. True when it is over.
  virtual bool pump(std::string& out) = 0;
  // Whether pump() left something behind, so that it is to be called again without waiting.
  virtual bool has_more() const = 0;
  // About how many bytes response() has to write.
  virtual size_t size() const = 0;
  // The whole, or the error that ended it; not for streams. After pump() was true.
  virtual HttpResponse response() const = 0;
  // The client has gone, or the server wants to stop. Pumping on leads to an end with an error.
  virtual void cancel() = 0;
};

using Outcome = std::variant<HttpResponse, std::unique_ptr<PendingResponse>>;

// Any thread.
class HttpService {
 public:
  virtual ~HttpService() = default;

  // Largest body that a request may have by now, and largest text that a coded one may hold.
  virtual int64_t body_bytes_max() const = 0;
  // Gives the request its id. Before all that follows.
  virtual void identify(HttpRequest& request) const = 0;
  // What the head of a request alone is refused for: its host, key, path, method or kind of body. None: the body
  // may be read.
  virtual std::optional<HttpResponse> admit(const HttpRequest& head) = 0;
  // Answers a request that was admitted. `notify` is called, from another thread, whenever a pending response
  // can be pumped.
  virtual Outcome handle(const HttpRequest& request, const std::function<void()>& notify) = 0;
  // Headers that every response to this request carries.
  virtual std::vector<Header> headers(const HttpRequest& request) const = 0;
  // Writes an error that was found before there was a request to handle: malformed HTTP, a body too large.
  virtual HttpResponse refuse_early(const HttpRequest& request, const ApiError& error) = 0;
};

}  // namespace ft::server
