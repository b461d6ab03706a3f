// What the text side of Foretoken reports when input is refused: a kind, one message, and the field at fault.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace ft::encoding {

// The first six are the exception classes of the reference encoder and reader; a server answers 400 to all of
// them.
enum class ErrorKind {
  kAssertionError,
  kValueError,
  kKeyError,
  kTypeError,
  kAttributeError,
  kNotImplementedError,
  kInvalidJson,        // text that is not JSON, or exceeds a limit of ordered_json.h
  kUnpairedSurrogate,  // a \ud800-\udfff escape without its partner: not representable in UTF-8
  kInvalidFile,        // a file that exists but is malformed or lacks something
  kFileNotFound,       // a file that is missing or cannot be read
  kOutOfRange,         // a token id outside the vocabulary
  kTooLong,            // a prompt beyond the caller's limit
};

struct EncodingError {
  ErrorKind kind;
  std::string message;
  std::string field = {};  // path of the input's field that is at fault, "messages[2].content"; "" if none is
};

template <class T>
using EncodingResult = tl::expected<T, EncodingError>;

// The reference's exception name ("AssertionError", ...). Kinds that it does not have map to the nearest one:
// JSON and surrogate errors are ValueErrors there, file errors "OSError", ids "IndexError".
std::string_view reference_name(ErrorKind kind);

// Shorthand for returning an error from a function with an EncodingResult.
inline tl::unexpected<EncodingError> fail(ErrorKind kind, std::string message, std::string field = {}) {
  return tl::unexpected<EncodingError>(EncodingError{kind, std::move(message), std::move(field)});
}

}  // namespace ft::encoding
