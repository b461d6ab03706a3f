#include "encoding/error.h"

namespace ft::encoding {

std::string_view reference_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kAssertionError:
      return "AssertionError";
    case ErrorKind::kValueError:
    case ErrorKind::kInvalidJson:
    case ErrorKind::kUnpairedSurrogate:
    case ErrorKind::kTooLong:
    case ErrorKind::kInvalidFile:
      return "ValueError";
    case ErrorKind::kKeyError:
      return "KeyError";
    case ErrorKind::kTypeError:
      return "TypeError";
    case ErrorKind::kAttributeError:
      return "AttributeError";
    case ErrorKind::kNotImplementedError:
      return "NotImplementedError";
    case ErrorKind::kFileNotFound:
      return "OSError";
    case ErrorKind::kOutOfRange:
      return "IndexError";
  }
  return "ValueError";
}

}  // namespace ft::encoding
