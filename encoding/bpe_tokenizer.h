// Byte-level BPE as in the DeepSeek-V3/V4 tokenizer.json.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/added_tokens.h"
#include "encoding/merge_table.h"
#include "encoding/ordered_json.h"
#include "encoding/token_prefixes.h"
#include "encoding/tokenizer.h"

namespace ft::encoding {

// Source: tokenizer.md section 2. Added tokens are cut out first, the texts between are cut into pieces
// (pretokenizer.h), and each piece is merged from its bytes.
class BpeTokenizer : public Tokenizer {
 public:
  // Builds the tokenizer from the parsed tokenizer.json. kInvalidFile, naming the part, if: the model is not
  // BPE over bytes, it asks for a feature that V4 does not have (normalizer, other split patterns, dropout,
  // byte fallback, stripping added tokens), a member is missing or has the wrong type, an id is given twice
  // or left out, one of the 256 byte tokens or a part of a merge is not in the vocabulary.
  static EncodingResult<std::unique_ptr<BpeTokenizer>> from_json(const Json& root);

  std::unique_ptr<EncodeJob> start_encode(std::string_view text, std::span<const ByteRange> client,
                                          size_t max_tokens) const override;
  // The same with windows of `window` bytes, which changes no id (window_merger.h).
  std::unique_ptr<EncodeJob> start_encode(std::string_view text, std::span<const ByteRange> client,
                                          size_t max_tokens, size_t window) const;
  // All tokens but those of the last piece, and of pieces that a further newline would become part of.
  std::vector<TokenId> settled(std::string_view text) const override;
  size_t longest_token() const override { return longest_token_; }
  std::string_view token_bytes(TokenId id) const override;
  std::optional<TokenId> id_of(std::string_view content) const override { return added_.id_of(content); }
  bool is_special(TokenId id) const override;
  TokenId vocab_size() const override { return static_cast<TokenId>(bytes_.size()); }

 private:
  friend class BpeLoader;
  class Merger;
  class Job;
  BpeTokenizer() = default;

  AddedTokens added_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_token_{};
  std::vector<std::string> bytes_;  // of each id
  std::vector<bool> special_;       // of each id
  TokenPrefixes prefixes_;          // of the tokens that merges make
  size_t longest_token_ = 0;
};

}  // namespace ft::encoding
