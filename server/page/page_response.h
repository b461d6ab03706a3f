// GET /: the chat page, compressed for browsers and plain for those who do not take gzip.
#pragma once

#include <string>
#include <string_view>

#include "server/http/http_message.h"

namespace ft::server {

// Whether an Accept-Encoding takes gzip (RFC 9110 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

// The content of one gzip member whose header has no optional part (RFC 1952).
std::string gunzip(std::string_view gzip);

// 304 where the client has it already.
HttpResponse page_response(const HttpRequest& request);

}  // namespace ft::server
