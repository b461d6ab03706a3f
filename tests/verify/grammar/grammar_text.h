// Grammars in tests, from a schema's text.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

#include "tests/verify/grammar/small_vocabulary.h"
#include "verify/grammar/grammar_state.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::grammar {

// The state before the first byte; fails the test where the schema is refused.
inline std::optional<GrammarState> start_of(std::string_view schema) {
  const auto grammar = compile_schema(schema);
  if (grammar) return GrammarState(*grammar, small_vocabulary());
  ADD_FAILURE() << schema << " is refused for " << grammar.error().keyword << " at " << grammar.error().path
                << ": " << grammar.error().message;
  return std::nullopt;
}

inline bool accepts(const GrammarState& start, std::string_view text) {
  const auto end = start.after(text);
  return end && end->complete();
}

}  // namespace ft::grammar
