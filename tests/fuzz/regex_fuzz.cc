#include <algorithm>
#include <string_view>

#include "core/check.h"
#include "tests/fuzz/fuzz_targets.h"
#include "verify/grammar/regex.h"

namespace ft::fuzz {

void regex(std::span<const uint8_t> input) {
  const auto zero = std::find(input.begin(), input.end(), uint8_t{0});
  const auto length = static_cast<size_t>(zero - input.begin());
  const auto* bytes = reinterpret_cast<const char*>(input.data());
  const std::string_view pattern(bytes, length);
  const std::u32string text =
      grammar::code_points(std::string_view(bytes, input.size()).substr(std::min(length + 1, input.size())));
  const auto whole = grammar::compile_regex(pattern, grammar::RegexMatch::kWhole);
  const auto search = grammar::compile_regex(pattern, grammar::RegexMatch::kSearch);
  if (!whole || !search) return;
  if (whole->label_of(text) != 0) FT_CHECK(search->label_of(text) != 0, pattern);
  const auto both = grammar::Automaton::intersection(*whole, *search);
  if (both) FT_CHECK((both->label_of(text) != 0) == (whole->label_of(text) != 0), pattern);
}

}  // namespace ft::fuzz
