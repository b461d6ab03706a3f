// An error as a client is told of it: an HTTP status and what the APIs say beside it. How it is written is the API's
// matter.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace ft::server {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;  // the field at fault, "messages[2].content"; "" is sent as null
  std::string code;   // machine-readable cause, "context_length_exceeded"; "" is sent as null
  // Of context_length_exceeded: tokens of the prompt, or as many as it has at least, and of the longest one.
  int64_t prompt_tokens = 0;
  int64_t prompt_tokens_max = 0;
  int retry_after_seconds = 0;  // > 0: sent as Retry-After
  bool work_was_begun = false;  // clients are told not to retry by themselves (x-should-retry: false)
};

template <class T>
using ApiResult = tl::expected<T, ApiError>;

// A 400 that names `param`.
ApiError bad_field(std::string param, std::string message);
// A refusal with any status. The type follows from the status: 401 authentication_error, 404 not_found_error,
// 429 rate_limit_error, 503 service_unavailable, other 5xx server_error, the rest invalid_request_error.
ApiError refusal(int status, std::string message, std::string code = "");

inline tl::unexpected<ApiError> refuse(ApiError error) {
  return tl::unexpected<ApiError>(std::move(error));
}

}  // namespace ft::server
