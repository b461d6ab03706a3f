// UTF-8 where input may be torn or broken: replacement of ill-formed bytes, whole or in a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ft::encoding {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the start of some bytes.
struct Utf8Step {
  enum class Kind {
    kCharacter,   // one well-formed character of `length` bytes
    kIllFormed,   // a maximal ill-formed subpart of `length` bytes, to be shown as one U+FFFD
    kIncomplete,  // all `length` remaining bytes are a proper prefix of a well-formed character
  };
  Kind kind;
  uint32_t length;      // bytes consumed, 1..4
  char32_t code_point;  // for kCharacter
};

// Reads one step at `text[at]`; `at < text.size()`. Maximal subparts as in Unicode 3.9 (U+FFFD substitution).
Utf8Step read_utf8(std::string_view text, size_t at);

bool is_valid_utf8(std::string_view text);

// `text` with each maximal ill-formed subpart (an incomplete end included) replaced by U+FFFD.
std::string replace_ill_formed(std::string_view text);

// Appends the UTF-8 bytes of a code point below U+110000 that is not a surrogate.
void append_utf8(std::string& out, char32_t code_point);

// Turns arriving bytes into complete characters.
class Utf8Stream {
 public:
  // Complete text available after these bytes; ill-formed bytes come out as U+FFFD at once, a prefix of a
  // well-formed character (at most 3 bytes) or the first two bytes of an encoded surrogate are kept for
  // later.
  std::string feed(std::string_view bytes);
  // The end: one U+FFFD if a torn character is left (two for a torn surrogate), else nothing. The stream is
  // then empty again.
  std::string flush();

 private:
  std::string tail_;
};

}  // namespace ft::encoding
