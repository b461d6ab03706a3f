#include "encoding/bpe_tokenizer.h"

#include "encoding/pretokenizer.h"
#include "encoding/utf8.h"

namespace ft::encoding {

std::vector<TokenId> BpeTokenizer::encode(std::string_view text, std::span<const ByteRange> client) const {
  if (is_valid_utf8(text)) return encode_clean(text, client);
  const CleanText clean = clean_text(text, client);
  return encode_clean(clean.text, clean.client);
}

std::vector<TokenId> BpeTokenizer::encode_clean(std::string_view text,
                                                std::span<const ByteRange> client) const {
  std::vector<TokenId> ids;
  PieceMerger merger(merges_);
  std::vector<TokenId> symbols;
  const auto encode_between = [&](std::string_view between) {
    for (const std::string_view piece : split_pieces(between)) {
      symbols.clear();
      for (const char byte : piece) symbols.push_back(byte_token_[static_cast<uint8_t>(byte)]);
      merger.merge(symbols, ids);
    }
  };
  size_t at = 0;
  for (const AddedTokens::Match& match : added_.find(text, client)) {
    encode_between(text.substr(at, match.begin - at));
    ids.push_back(match.id);
    at = match.end;
  }
  encode_between(text.substr(at));
  return ids;
}

std::string_view BpeTokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(id)];
}

bool BpeTokenizer::is_special(TokenId id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

}  // namespace ft::encoding
