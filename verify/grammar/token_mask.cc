#include "verify/grammar/token_mask.h"

#include <algorithm>

namespace ft::grammar {
namespace {

void allow(std::span<const int32_t> tokens, std::span<uint32_t> mask) {
  for (const int32_t token : tokens) mask[static_cast<size_t>(token) / 32] |= uint32_t{1} << token % 32;
}

}  // namespace

void TokenMasker::fill(const Vocabulary& vocabulary, Stepper& stepper, const Configurations& configurations,
                       std::span<uint32_t> mask) {
  uint32_t free = 0;
  for (const Configuration& configuration : configurations)
    free = std::max(free, stepper.free_characters(configuration));
  const TokenMask& content = vocabulary.content(free);
  std::copy(content.begin(), content.end(), mask.begin());
  // Where not all that stays within the string is allowed, other configurations may allow more of it.
  const bool all_content = free > 0 && &content == &vocabulary.content(StringRule::kNoMaximum);
  const TokenTrie& trie =
      all_content || (free > 0 && configurations.size() == 1) ? vocabulary.closing() : vocabulary.all();
  if (levels_.empty()) levels_.emplace_back();
  levels_[0] = configurations;
  read(trie, vocabulary.longest_content(), stepper, mask);
}

void TokenMasker::read(const TokenTrie& trie, uint32_t longest, Stepper& stepper, std::span<uint32_t> mask) {
  const std::span<const int32_t> tokens = trie.tokens;
  const uint64_t limit = kStepsPerNode * trie.size();
  uint64_t steps = 0;
  for (uint32_t i = 0; i < trie.size();) {
    const size_t level = trie.depths[i];
    if (levels_.size() < level + 2) levels_.resize(level + 2);
    const Configurations& here = levels_[level];
    // All tokens from here on are made of what may follow anyway.
    const bool free = std::any_of(here.begin(), here.end(), [&](const Configuration& configuration) {
      return (trie.kinds[i] & ~stepper.free_kinds(configuration, longest)) == 0;
    });
    if (free) {
      allow(tokens.subspan(trie.first_tokens[i], trie.first_tokens[trie.skips[i]] - trie.first_tokens[i]),
            mask);
      i = trie.skips[i];
      continue;
    }
    Configurations& next = levels_[level + 1];
    next.clear();
    steps += here.size();
    if (steps <= limit || level == 0)
      for (const Configuration& configuration : here) stepper.step(configuration, trie.bytes[i], next);
    if (next.empty()) {
      i = trie.skips[i];
      continue;
    }
    allow(tokens.subspan(trie.first_tokens[i], trie.first_tokens[i + 1] - trie.first_tokens[i]), mask);
    ++i;
  }
}

}  // namespace ft::grammar
