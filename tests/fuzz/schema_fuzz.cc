#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/verify/grammar/small_vocabulary.h"
#include "verify/grammar/call_grammar.h"
#include "verify/grammar/grammar_state.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::fuzz {
namespace {

// Takes the tokens that `choices` choose, each from those that the mask allows.
void walk(grammar::GrammarState state, std::span<const uint8_t> choices) {
  const grammar::Vocabulary& vocabulary = state.vocabulary();
  std::vector<uint32_t> mask(vocabulary.mask_words());
  for (const uint8_t choice : choices) {
    state.fill_mask(mask);
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < vocabulary.size(); ++token) {
      const bool allows = (mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
      if (allows) allowed.push_back(token);
      // Every eighth token by itself: a walk through all of them for each byte of input would be slow.
      if (token % 8 == choice % 8) FT_CHECK(allows == state.after(token).has_value(), token);
    }
    FT_CHECK(!allowed.empty());
    state = *state.after(allowed[choice % allowed.size()]);
    if (state.ended()) return;
  }
}

}  // namespace

void schema(std::span<const uint8_t> input) {
  const auto zero = std::find(input.begin(), input.end(), uint8_t{0});
  const auto length = static_cast<size_t>(zero - input.begin());
  const std::string text(reinterpret_cast<const char*>(input.data()), length);
  const std::span<const uint8_t> choices = input.subspan(std::min(length + 1, input.size()));
  const auto vocabulary = grammar::small_vocabulary();
  if (const auto grammar = grammar::compile_schema(text))
    walk(grammar::GrammarState(*grammar, vocabulary), choices);
  const grammar::CallableTool tool{"f", text};
  if (const auto calls = grammar::call_grammar({&tool, 1}, {.required = true}))
    walk(grammar::GrammarState(*calls, vocabulary), choices);
}

}  // namespace ft::fuzz
