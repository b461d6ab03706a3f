// Which tokens of a vocabulary a grammar allows next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "verify/grammar/stepper.h"
#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

// Reads the trie of all tokens with all configurations, and skips what is below a byte that none allows. Within a
// string that any characters may follow, the tokens that stay in it are known beforehand, and only those that end
// it are read; what is made of characters that lead back to the state of a pattern is not read either.
//
// An ambiguous grammar could take long. Behind kStepsPerNode steps for each node of the trie, only tokens of one byte
// are read: fewer tokens are allowed then than could be, and never wrong ones. Keeps its memory between calls.
class TokenMasker {
 public:
  static constexpr uint64_t kStepsPerNode = 4;

  // Writes every word of `mask`; end tokens are not looked at.
  void fill(const Vocabulary& vocabulary, Stepper& stepper, const Configurations& configurations,
            std::span<uint32_t> mask);

 private:
  void read(const TokenTrie& trie, uint32_t longest, Stepper& stepper, std::span<uint32_t> mask);

  std::vector<Configurations> levels_;  // [depth]: before a byte at this depth
};

}  // namespace ft::grammar
