// The query of a request's target: "/v1/items?limit=2&order=asc".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ft::server {

// "%2F" -> "/"; a malformed escape stays as it is.
std::string percent_decode(std::string_view text);

// Names and values in their order, decoded. A '+' is a space, as forms write it; a name without '=' has the value "".
std::vector<std::pair<std::string, std::string>> read_query(std::string_view target);

}  // namespace ft::server
