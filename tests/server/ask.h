// Asking a service without a network.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "server/http/http_service.h"

namespace ft::server::testing {

// A request as clients of the APIs send it.
inline HttpRequest json_request(std::string method, std::string target, std::string body) {
  HttpRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  request.headers = {{"content-type", "application/json"}};
  return request;
}

// What a session would send for this request, which gets its id and is admitted or not. A stream is the body.
inline HttpResponse ask(HttpService& service, HttpRequest request) {
  service.identify(request);
  if (auto refused = service.admit(request)) return std::move(*refused);
  Outcome outcome = service.handle(request, {});
  auto* reply = std::get_if<std::unique_ptr<PendingResponse>>(&outcome);
  if (reply == nullptr) return std::get<HttpResponse>(std::move(outcome));
  HttpResponse response;
  while (!(*reply)->pump(response.body)) std::this_thread::yield();
  return (*reply)->stream() ? std::move(response) : (*reply)->response();
}

}  // namespace ft::server::testing
