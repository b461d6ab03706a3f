// Where a text is within its grammar: a value. A copy is cheap and independent; moving past a token makes a
// new state and leaves the old one as it was, so that a node of a tree has its parent's state and one token
// more.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verify/grammar/grammar.h"
#include "verify/grammar/stepper.h"
#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

// States made from one another share their frames and masks, and belong to one thread at a time. The grammar
// may be shared by all.
class GrammarState {
 public:
  GrammarState(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const Vocabulary> vocabulary);

  // Behind more bytes or one more token; empty where the grammar does not allow them. An end token is allowed
  // where the text is complete, and nothing behind it.
  std::optional<GrammarState> after(std::string_view bytes) const;
  std::optional<GrammarState> after(int32_t token) const;
  bool complete() const;
  bool ended() const { return configurations_.empty(); }  // an end token was taken

  // Which tokens may come next: every word of `mask` is written, vocabulary().mask_words() words. Where bytes must
  // come, only the token is allowed that the tokenizer would write them with, if that is known.
  void fill_mask(std::span<uint32_t> mask) const;

  // Bytes that must come next, at most `limit`: while exactly one byte is allowed and the text may not end.
  std::string forced(size_t limit) const;
  // The tokens of those bytes, of as many of them as are certain. A function of the tokens so far, like the state.
  std::span<const int32_t> forced_tokens() const;

  const Vocabulary& vocabulary() const;

 private:
  struct Shared;
  using Tokens = std::vector<int32_t>;
  GrammarState(std::shared_ptr<Shared> shared, Configurations configurations);

  std::shared_ptr<Shared> shared_;
  Configurations configurations_;
  int32_t last_token_ = -1;  // -1: none, or its bytes came without it
  // forced_tokens() is what is left of the first from the second on; null before it was asked for.
  mutable std::shared_ptr<const Tokens> forced_;
  size_t forced_at_ = 0;
};

}  // namespace ft::grammar
