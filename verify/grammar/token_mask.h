// Which tokens of a vocabulary a grammar allows next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "verify/grammar/stepper.h"
#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

// Reads the trie of all tokens with all configurations, and skips what is below a byte that none allows.
// Within a string that any characters may follow, the tokens that stay in it are known beforehand, and only
// those that end it are read. Keeps its memory between calls.
class TokenMasker {
 public:
  // Writes every word of `mask`; end tokens are not looked at.
  void fill(const Vocabulary& vocabulary, Stepper& stepper, const Configurations& configurations,
            std::span<uint32_t> mask);

 private:
  void read(const TokenTrie& trie, Stepper& stepper, std::span<uint32_t> mask);

  CharKinds free_kinds(const Stepper& stepper, const Configurations& level);

  uint32_t longest_ = 0;    // characters of the longest token
  Configuration free_for_;  // the state that free_ is of
  CharKinds free_ = 0;
  // [depth]: the configurations before a byte at this depth.
  std::vector<Configurations> levels_;
};

}  // namespace ft::grammar
