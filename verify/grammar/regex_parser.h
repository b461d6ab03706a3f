// The syntax tree of a regular expression.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "verify/grammar/char_set.h"

namespace ft::grammar {

struct RegexNode {
  enum class Kind {
    kEmpty,
    kChars,     // one code point of `chars`
    kSequence,  // all of `parts`, in order
    kChoice,    // one of `parts`
    kRepeat,    // parts[0], `min` to `max` times; max < 0: without end
    kBegin,     // ^
    kEnd,       // $
    kAhead,     // (?=parts[0]), or (?!parts[0]) where `negative`
  };
  Kind kind = Kind::kEmpty;
  CharSet chars;
  std::vector<RegexNode> parts;
  int min = 0;
  int max = 0;
  bool negative = false;
};

// Parses an ECMA-262 pattern; errors as compile_regex says, with the offset in bytes.
Result<RegexNode> parse_regex(std::string_view pattern);

}  // namespace ft::grammar
