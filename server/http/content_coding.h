// Bodies that are sent compressed (RFC 9110, 8.4).
#pragma once

#include <cstdint>

#include "server/http/api_error.h"
#include "server/http/http_message.h"

namespace ft::server {

// Whether the body is to be decoded before it is read.
bool is_coded(const HttpRequest& request);

// Replaces a body with Content-Encoding gzip or deflate by what it holds, which counts against the budget of bodies as
// it grows. Errors: 415 for other encodings, 400 for a body that is not what it says, 413 where it holds more than
// `bytes_max`, 503 where the bodies of all connections have no room for it.
ApiResult<void> decode_body(HttpRequest& request, uint64_t bytes_max);

}  // namespace ft::server
