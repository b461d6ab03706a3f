// Errors of the engine and of the encoder as errors of an API.
#pragma once

#include <string>

#include "core/error.h"
#include "encoding/error.h"
#include "server/http/api_error.h"

namespace ft::server {

// kInvalidArgument and kNotFound are a 400 on the error's field, kTooLarge (which can never fit) a 400 with code
// context_length_exceeded, kOverloaded a 429 with Retry-After, kUnavailable a 503.
ApiError from_engine(const Error& error);
// A prompt that the encoder refused: a 400 on the field at fault, `param` where the error names none.
ApiError from_encoding(const encoding::EncodingError& error, std::string param);

}  // namespace ft::server
