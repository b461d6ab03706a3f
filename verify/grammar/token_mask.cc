#include "verify/grammar/token_mask.h"

#include <algorithm>

namespace ft::grammar {

void TokenMasker::fill(const Vocabulary& vocabulary, Stepper& stepper, const Configurations& configurations,
                       std::span<uint32_t> mask) {
  free_for_ = {};
  free_ = 0;
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
  longest_ = vocabulary.longest_content();
  read(trie, stepper, mask);
}

// The kinds that may follow a level, remembered for the state that asked last.
CharKinds TokenMasker::free_kinds(const Stepper& stepper, const Configurations& level) {
  if (level.size() != 1 || (level[0].phase != Phase::kString && level[0].phase != Phase::kInName)) return 0;
  Configuration key = level[0];
  key.hash = key.hash != 0 ? 1 : 0;
  key.length = key.phase == Phase::kInName ? 0 : key.length;
  if (!(key == free_for_)) {
    free_for_ = key;
    free_ = stepper.free_kinds(level[0], longest_);
  }
  return free_;
}

void TokenMasker::read(const TokenTrie& trie, Stepper& stepper, std::span<uint32_t> mask) {
  for (uint32_t i = 0; i < trie.size();) {
    const size_t level = trie.depths[i];
    if (levels_.size() < level + 2) levels_.resize(level + 2);
    // All tokens from here on are made of what may follow anyway.
    if ((trie.kinds[i] & ~free_kinds(stepper, levels_[level])) == 0) {
      for (uint32_t t = trie.first_tokens[i]; t < trie.first_tokens[trie.skips[i]]; ++t)
        mask[static_cast<size_t>(trie.tokens[t]) / 32] |= uint32_t{1} << trie.tokens[t] % 32;
      i = trie.skips[i];
      continue;
    }
    Configurations& next = levels_[level + 1];
    next.clear();
    for (const Configuration& configuration : levels_[level])
      stepper.step(configuration, trie.bytes[i], next);
    if (next.empty()) {
      i = trie.skips[i];
      continue;
    }
    for (uint32_t t = trie.first_tokens[i]; t < trie.first_tokens[i + 1]; ++t)
      mask[static_cast<size_t>(trie.tokens[t]) / 32] |= uint32_t{1} << trie.tokens[t] % 32;
    ++i;
  }
}

}  // namespace ft::grammar
