// The tokens of a model as bytes, laid out so that a grammar can read all of them at once.
//
// Immutable; shared by all grammars of a model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verify/grammar/char_kinds.h"

namespace ft::grammar {

// Tokens as a trie in depth-first order. Node i reads `bytes[i]` behind the node above it, which is the last
// one before i with a smaller depth; the nodes below it end before skip[i].
struct TokenTrie {
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> depths;  // 0 for first bytes
  std::vector<uint32_t> skips;
  std::vector<uint32_t> first_tokens;  // [node]: the tokens that end here are first_tokens[i] .. [i + 1] - 1
  std::vector<int32_t> tokens;
  // [node]: kinds of the characters that begin at it or below it, within a JSON string; kNeverKind within a
  // character.
  std::vector<CharKinds> kinds;

  uint32_t size() const { return static_cast<uint32_t>(bytes.size()); }
};

using TokenMask = std::vector<uint32_t>;  // bit v % 32 of word v / 32

// Tokens that every text which begins with these bytes begins with, written as the tokenizer writes it: fewer
// where that is not known. Called from any thread.
using SettledTokens = std::function<std::vector<int32_t>(std::string_view bytes)>;

class Vocabulary {
 public:
  // `tokens[v]`: the bytes of token v; empty for those that no text may hold (control tokens). `end_tokens`
  // end a reply. Tokens of over 65,535 bytes are left out. Without `settled` no tokens are ever forced.
  Vocabulary(std::span<const std::string_view> tokens, std::span<const int32_t> end_tokens,
             SettledTokens settled = {});

  int64_t size() const { return static_cast<int64_t>(token_bytes_.size()); }
  size_t mask_words() const { return (token_bytes_.size() + 31) / 32; }
  // Empty for a token that no text may hold.
  std::string_view bytes_of(int32_t token) const;
  std::span<const int32_t> end_tokens() const { return end_tokens_; }
  bool is_end(int32_t token) const;
  // Tokens that come first in every text that is `before`, one token, and begins with `bytes` behind it. None where
  // the tokenizer would not have written that token.
  std::vector<int32_t> settled(int32_t before, std::string_view bytes) const;
  bool knows_settled() const { return settled_ != nullptr; }

  const TokenTrie& all() const { return all_; }
  // Tokens that end a JSON string that they begin within.
  const TokenTrie& closing() const { return closing_; }
  // Tokens that stay within a JSON string which may go on with at most `characters` of any kind.
  const TokenMask& content(uint32_t characters) const;
  // Characters of the longest such token.
  uint32_t longest_content() const { return static_cast<uint32_t>(content_.size() - 1); }

 private:
  std::vector<std::string> token_bytes_;
  std::vector<int32_t> end_tokens_;
  SettledTokens settled_;
  TokenTrie all_;
  TokenTrie closing_;
  std::vector<TokenMask> content_;  // [characters]; the last one for as many as there are
};

}  // namespace ft::grammar
