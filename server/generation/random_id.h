// Randomness of the server itself: ids of replies and seeds of requests that name none.
#pragma once

#include <cstdint>
#include <string>

namespace ft::server {

// Any thread. Not for secrets.
uint64_t random_bits();
// `digits` random lower-case hexadecimal digits.
std::string random_hex(int digits);

}  // namespace ft::server
