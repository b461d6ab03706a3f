// Kinds of characters by the byte that they begin with, for saying at once of many tokens what they are made
// of.
#pragma once

#include <cstdint>
#include <vector>

#include "verify/grammar/char_classifier.h"
#include "verify/grammar/char_set.h"

namespace ft::grammar {

// A set of kinds, a bit each.
using CharKinds = uint32_t;

// What no string goes on with: a quote, a byte that begins no character. No set of kinds that may follow has
// it.
inline constexpr CharKinds kNeverKind = CharKinds{1} << 31;

// The kind of the characters inside a JSON string that begin with `byte`: kNeverKind if none does.
CharKinds kind_of(uint8_t byte);

// The code points of each kind, with the kind's bit.
struct CharKindSet {
  CharKinds kind = 0;
  CharSet points;
};
const std::vector<CharKindSet>& all_char_kinds();

}  // namespace ft::grammar
