#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/verify/grammar/small_vocabulary.h"
#include "verify/grammar/grammar_state.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::fuzz {

void schema(std::span<const uint8_t> input) {
  const auto zero = std::find(input.begin(), input.end(), uint8_t{0});
  const auto length = static_cast<size_t>(zero - input.begin());
  const auto grammar =
      grammar::compile_schema(std::string_view(reinterpret_cast<const char*>(input.data()), length));
  if (!grammar) return;
  const auto vocabulary = grammar::small_vocabulary();
  grammar::GrammarState state(*grammar, vocabulary);
  std::vector<uint32_t> mask(vocabulary->mask_words());
  for (const uint8_t choice : input.subspan(std::min(length + 1, input.size()))) {
    state.fill_mask(mask);
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < vocabulary->size(); ++token) {
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

}  // namespace ft::fuzz
