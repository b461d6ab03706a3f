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

  using Tokenizer::encode;
  std::vector<TokenId> encode(std::string_view text, std::span<const ByteRange> client) const override;
  std::string_view token_bytes(TokenId id) const override;
  std::optional<TokenId> id_of(std::string_view content) const override { return added_.id_of(content); }
  bool is_special(TokenId id) const override;
  TokenId vocab_size() const override { return static_cast<TokenId>(bytes_.size()); }

 private:
  friend class BpeLoader;
  BpeTokenizer() = default;
  std::vector<TokenId> encode_clean(std::string_view text, std::span<const ByteRange> client) const;

  AddedTokens added_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_token_{};
  std::vector<std::string> bytes_;  // of each id
  std::vector<bool> special_;       // of each id
};

}  // namespace ft::encoding
