// The listening socket, its I/O threads and the open connections. Hides Asio from the rest of the program.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "core/error.h"
#include "server/http/http_options.h"
#include "server/http/http_service.h"

namespace ft::server {

class HttpServer {
 public:
  // Binds options.host:options.port and serves from now on. `options` and `service` must outlive the server.
  // kInvalidArgument when the host is unknown, kUnavailable when the address cannot be bound.
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, HttpService& service);
  // As stop(0).
  ~HttpServer();

  uint16_t port() const;
  int connections() const;

  // Accepts nothing more, lets running replies end for at most `drain`, cancels the rest, and ends the
  // threads.
  void stop(std::chrono::milliseconds drain);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ft::server
