// A small blocking HTTP client for the terminal chat: one request, and its response as it arrives.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "server/http/http_message.h"

namespace ft::server {

struct Url {
  std::string host;
  std::string port = "80";
  std::string path;  // without a "/" at the end
};

// "http://host[:port][/path]" or "host:port". kInvalidArgument for anything else, https included.
Result<Url> parse_url(std::string_view text);

// What Ctrl-C (SIGINT) does while an exchange exists.
enum class OnInterrupt {
  kDefault,  // what it does otherwise
  kCancel,   // ends the exchange: whatever waits for the server fails with kCancelled
};

class HttpExchange {
 public:
  // Connects, sends, and reads the response's head. kUnavailable when the server cannot be reached or does
  // not speak HTTP; kCancelled as OnInterrupt says.
  static Result<std::unique_ptr<HttpExchange>> start(const Url& url, const std::string& method,
                                                     const std::string& target,
                                                     const std::vector<Header>& headers, std::string body,
                                                     OnInterrupt on_interrupt = OnInterrupt::kDefault);
  ~HttpExchange();

  int status() const;
  // The next bytes of the body, "" at its end.
  Result<std::string> read();
  // What is left of the body.
  Result<std::string> read_all();

 private:
  struct Impl;
  explicit HttpExchange(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ft::server
