// What can go wrong outside the program's control, as values: Result<T> carries either a T or an Error.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace ft {

enum class ErrorCode {
  kInvalidArgument,  // a request or flag that can never work; the message names it
  kInvalidFile,      // a file that is not what it says: config, shard, tokenizer
  kNotFound,         // a file or name that is not there
  kTooLarge,         // does not fit a stated limit, now or ever
  kOverloaded,       // fits the limits, but not now
  kCancelled,        // the client went away
  kUnavailable,      // hardware or library that is not on this machine
  kInternal,         // a device failure
};

struct Error {
  ErrorCode code;
  std::string message;     // names the thing, the value seen and the value expected
  std::string field = {};  // of a request: the one at fault, "speculation.max_nodes"; "" where it is none
};

template <class T>
using Result = tl::expected<T, Error>;

// An unexpected Error with a formatted message, to `return` from any function with a Result.
template <class... Args>
tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// The same for a request: kInvalidArgument at `field`.
template <class... Args>
tl::unexpected<Error> fail_field(std::string field, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(
      Error{ErrorCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...), std::move(field)});
}

}  // namespace ft
