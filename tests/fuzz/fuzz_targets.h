// What fuzzers call: each takes any bytes, and aborts where a promise is broken.
#pragma once

#include <cstdint>
#include <span>

namespace ft::fuzz {

// A JSON Schema, up to the first zero byte; the bytes behind it choose tokens. Compiling is bounded; a grammar never
// leads into a dead end, and its masks say what taking each token does.
void schema(std::span<const uint8_t> input);

// A regular expression, up to the first zero byte, and a text. Compiling is bounded; what matches as a whole matches
// somewhere.
void regex(std::span<const uint8_t> input);

}  // namespace ft::fuzz
