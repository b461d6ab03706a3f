// One text on its way to token ids, in slices and up to a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ft::encoding {

using TokenId = int32_t;

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
  bool operator==(const ByteRange&) const = default;
};

inline constexpr size_t kNoTokenLimit = std::numeric_limits<size_t>::max();

// Tokenizes one text step by step. The ids do not depend on how the work is sliced.
//
// A caller that knows how many tokens it can use passes that number as the limit. The job then ends as soon
// as the text is known to have more, which for most texts is long before its end: a token has a longest byte
// length, so that the rest of the text gives a lower bound of what is still to come. A text whose length
// alone shows that it is too long is refused before any of it is tokenized.
//
// The memory of a job is a small constant, the ids, and a copy of the text if it is not valid UTF-8. A job
// belongs to one thread at a time. Its tokenizer, text and ranges must outlive it.
class EncodeJob {
 public:
  virtual ~EncodeJob() = default;
  EncodeJob(const EncodeJob&) = delete;
  EncodeJob& operator=(const EncodeJob&) = delete;

  // Tokenizes about `bytes` more bytes of the text, or more where the next cut lies further on. To find a cut
  // it may also look, without tokenizing, at the whole run of letters, signs or spaces that it is in.
  // True when there is nothing left to do: the text is at its end, or has too many tokens.
  bool advance(size_t bytes);

  // Whether the text is known to have more tokens than the limit. May be true before the first advance().
  bool exceeded() const { return tokens_at_least() > max_tokens_; }
  // A lower bound of the number of tokens of the whole text; the exact number once the text is at its end.
  size_t tokens_at_least() const { return ids_.size() + (text_.size() - at_ + longest_ - 1) / longest_; }
  // The ids so far, to be taken when advance() has returned true.
  std::vector<TokenId> take_ids() { return std::move(ids_); }

 protected:
  // `longest_token`: bytes of the longest token, at least 1.
  EncodeJob(std::string_view text, std::span<const ByteRange> client, size_t longest_token,
            size_t max_tokens);

  // Appends ids to `ids_` and moves `at_` to the next cut, never past it; called while `at_` is inside the
  // text. A step may do without progress if a later one makes it.
  virtual void step() = 0;

  std::string_view text_;              // valid UTF-8
  std::span<const ByteRange> client_;  // of `text_`
  size_t at_ = 0;                      // the text before is in `ids_`
  std::vector<TokenId> ids_;

 private:
  std::string clean_text_;  // used if the given text is not valid UTF-8
  std::vector<ByteRange> clean_client_;
  size_t longest_;
  size_t max_tokens_;
};

}  // namespace ft::encoding
