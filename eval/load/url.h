// The address of a server.
#pragma once

#include <string>

#include "core/error.h"

namespace ft::eval {

struct Url {
  std::string host;
  std::string port;
  std::string
      base;  // path before the endpoints, without a slash at its end; "/v1" where the address has no path
};

// "http://127.0.0.1:8000", "http://[::1]:8000/v1". kInvalidArgument for anything else; https is named as not
// supported.
Result<Url> parse_url(const std::string& text);

}  // namespace ft::eval
