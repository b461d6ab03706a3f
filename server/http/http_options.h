// What the HTTP server can be told: where it listens, and its limits.
#pragma once

#include <cstdint>
#include <string>

namespace ft::server {

inline constexpr int kHeaderBytesMax = 65535;  // of --max-header-bytes

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8000;  // 0 = any free one
  int io_threads = 2;
  int text_threads = 2;  // parse and tokenize request bodies

  int64_t max_body_bytes = 0;              // 0 = what follows from the model's context
  int64_t max_buffered_bytes = 256 << 20;  // bodies of all connections together
  int max_header_bytes = 16 << 10;
  int max_connections = 1024;
  int idle_seconds = 75;      // a kept connection without a request
  int request_seconds = 120;  // from a request's first byte to its last
  int write_seconds = 120;    // a client that reads nothing while bytes wait for it
  int keepalive_seconds = 5;  // silence in a stream before a comment is sent
};

}  // namespace ft::server
