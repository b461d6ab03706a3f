#include "server/generation/engine_error.h"

#include <utility>

namespace ft::server {

ApiError from_engine(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
      return bad_field(error.field, error.message);
    case ErrorCode::kTooLarge:
      return refusal(400, error.message, "context_length_exceeded");
    case ErrorCode::kOverloaded: {
      ApiError overloaded = refusal(429, error.message, "queue_full");
      overloaded.retry_after_seconds = 1;
      return overloaded;
    }
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return refusal(503, error.message, "unavailable");
    case ErrorCode::kInvalidFile:
    case ErrorCode::kInternal:
      break;
  }
  ApiError internal = refusal(500, error.message, "internal_error");
  internal.work_was_begun = true;
  return internal;
}

ApiError from_encoding(const encoding::EncodingError& error, std::string param) {
  return bad_field(error.field.empty() ? std::move(param) : error.field, error.message);
}

}  // namespace ft::server
