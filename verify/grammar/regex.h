// Regular expressions as JSON Schema's `pattern` has them (ECMA-262), compiled to automata.
#pragma once

#include <string_view>

#include "core/error.h"
#include "verify/grammar/automaton.h"

namespace ft::grammar {

// How many positions a pattern may have once its repetitions are written out; more is refused.
inline constexpr size_t kMaxRegexStates = 20000;
// Longest pattern, in bytes.
inline constexpr size_t kMaxRegexBytes = 16384;

enum class RegexMatch {
  kSearch,  // the pattern may match anywhere in the text, as `pattern` means it
  kWhole,   // it must match the whole text
};

// The texts that a pattern accepts. Supported: alternatives, groups (captures are groups), classes, the
// escapes \d \w \s \D \W \S \t \n \v \f \r \0 \cX \xHH \uHHHH \u{H} and escaped punctuation, the quantifiers
// * + ? {n} {n,} {n,m} also lazy (laziness changes no language), the anchors ^ and $, and lookahead that
// stands at an anchor's place at the begin of a whole alternative: ^(?=...), ^(?!...). kInvalidArgument names
// what is not: back references, other lookahead, lookbehind, \b, \p. kTooLarge: the automaton exceeds
// kMaxAutomatonStates, or the pattern the limits above.
Result<Automaton> compile_regex(std::string_view pattern, RegexMatch match);

}  // namespace ft::grammar
