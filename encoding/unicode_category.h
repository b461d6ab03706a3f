// Unicode properties that the pre-tokenizer asks for: the major general category and White_Space.
#pragma once

#include <cstdint>

namespace ft::encoding {

// Major class of the general category. Separators, controls, format characters, private use and unassigned
// code points are kOther.
enum class CharClass : uint8_t { kOther, kLetter, kMark, kNumber, kPunctuation, kSymbol };

// Table lookup; Unicode version as stated in unicode_category.cc. Any value is allowed.
CharClass char_class(char32_t code_point);

// The property White_Space (what `\s` means in tokenizer.md section 2).
constexpr bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace ft::encoding
