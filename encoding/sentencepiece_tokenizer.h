// Sentencepiece BPE models (tokenizer.model), as the nano checkpoints use them.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/added_tokens.h"
#include "encoding/ordered_json.h"
#include "encoding/token_prefixes.h"
#include "encoding/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace ft::encoding {

// The library knows control strings as user-defined pieces, and matches them wherever they stand in its
// input. To keep client text from forging them, they are found here first (added_tokens.h): a genuine one
// becomes its id, and the texts between are given to the library one by one, which changes nothing since it
// never merges across such a piece. Where a control string remains in a text between, it was forged: the text
// is cut after the first character of that string and the parts are given to the library separately, so that
// no part holds it. The ids of the parts decode to the same text. U+2581 is the library's mark for a space;
// in client text it is spelled by its three bytes, so that it survives, too.
class SentencepieceTokenizer : public Tokenizer {
 public:
  ~SentencepieceTokenizer() override;

  // From the bytes of tokenizer.model and the parsed tokenizer_config.json beside it (null if there is none).
  // The control strings are the entries of `added_tokens_decoder`; without it, pieces of the forms <｜…｜>
  // and ｜…｜, <think>, <tool_result> and their closing forms. kInvalidFile if the model cannot be read,
  // alters text (dummy prefix, normalisation, removed whitespace), has unused pieces, lacks the 256 byte
  // pieces, or contradicts the configuration.
  static EncodingResult<std::unique_ptr<SentencepieceTokenizer>> from_bytes(std::string_view model,
                                                                            const Json& config);

  std::unique_ptr<EncodeJob> start_encode(std::string_view text, std::span<const ByteRange> client,
                                          size_t max_tokens) const override;
  // The same with windows of `window` bytes, which changes no id (window_merger.h).
  std::unique_ptr<EncodeJob> start_encode(std::string_view text, std::span<const ByteRange> client,
                                          size_t max_tokens, size_t window) const;
  std::vector<TokenId> settled(std::string_view text) const override;
  size_t longest_token() const override { return longest_token_; }
  std::string_view token_bytes(TokenId id) const override;
  std::optional<TokenId> id_of(std::string_view content) const override { return added_.id_of(content); }
  bool is_special(TokenId id) const override;
  TokenId vocab_size() const override { return static_cast<TokenId>(bytes_.size()); }

 private:
  class Merger;
  class Job;
  SentencepieceTokenizer();
  std::string read_pieces(const Json& config);  // error message, or "" on success
  std::string check_faithful() const;           // likewise

  std::unique_ptr<sentencepiece::SentencePieceProcessor> model_;
  AddedTokens added_;
  std::array<TokenId, 256> byte_piece_{};
  std::vector<std::string> bytes_;  // of each id
  std::vector<bool> special_;       // of each id
  TokenPrefixes prefixes_;          // of the pieces that the library matches or merges
  size_t longest_token_ = 1;        // with spaces spelled as U+2581, which the library reads as spaces
};

}  // namespace ft::encoding
