// The interface of a tokenizer: text to token ids and ids to bytes, with client text unable to forge special
// tokens.
//
// Implementations are immutable after loading; every member may be called from any thread at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/encode_job.h"
#include "encoding/error.h"

namespace ft::encoding {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Begins to tokenize `text`, in slices and up to `max_tokens` (encode_job.h). Nothing is added at either
  // end (BOS is part of the prompt text). Added tokens (control strings such as "<｜User｜>", "<think>",
  // "｜DSML｜") are matched leftmost-longest, except where a match would touch a byte of a `client` range:
  // such text becomes ordinary tokens that decode to the same text. Without forged text the ids do not depend
  // on the ranges (encoding.md section 11, "Injection"). `client` must be ascending and disjoint.
  // Each maximal ill-formed subpart of invalid UTF-8 becomes U+FFFD. `text` must be shorter than 2 GiB.
  virtual std::unique_ptr<EncodeJob> start_encode(std::string_view text, std::span<const ByteRange> client,
                                                  size_t max_tokens) const = 0;
  // All ids of `text`, whatever their number and the time they take. Text of clients goes through
  // start_encode().
  std::vector<TokenId> encode(std::string_view text, std::span<const ByteRange> client = {}) const;

  // Ids that every text which begins with `text` begins with: the tokens of it that no continuation can change.
  // Fewer than there could be where that is not known, none for text that is not valid UTF-8. Added tokens are
  // matched as in text that no client wrote.
  virtual std::vector<TokenId> settled(std::string_view /*text*/) const { return {}; }

  // Bytes of text that the longest token stands for: a text of n bytes has at least n / longest_token()
  // tokens.
  virtual size_t longest_token() const = 0;

  // Raw bytes that the token stands for (not necessarily whole characters); empty for an id outside the
  // vocabulary. The view lives as long as the tokenizer.
  virtual std::string_view token_bytes(TokenId id) const = 0;

  // Id of an added token by its exact content ("<｜end▁of▁sentence｜>", "</think>"); empty if there is none.
  virtual std::optional<TokenId> id_of(std::string_view content) const = 0;

  // Whether decoding with skip_special drops the id: the flag `special` of the tokenizer's files. Official V4
  // files do not set it for "<think>", "</think>", "<｜User｜>" or "｜DSML｜"; the nano checkpoints set it
  // for every control string. So text that goes to a CompletionParser is to be decoded without skip_special.
  virtual bool is_special(TokenId id) const = 0;

  // Ids are 0 .. vocab_size() - 1, without gaps.
  virtual TokenId vocab_size() const = 0;

  // Text of `ids`: the bytes of all tokens, each maximal ill-formed subpart replaced by U+FFFD. kOutOfRange
  // for an id outside the vocabulary.
  EncodingResult<std::string> decode(std::span<const TokenId> ids, bool skip_special = false) const;
};

// Loads a tokenizer from a model directory (tokenizer.json if present, else tokenizer.model) or from one such
// file (by its extension .json or .model). Errors: kFileNotFound, kInvalidFile (malformed, lacks tokens, gaps
// in the ids, or needs features V4 tokenizers do not have); messages name the file.
EncodingResult<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);

}  // namespace ft::encoding
