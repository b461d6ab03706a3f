#include "encoding/encode_job.h"

#include <algorithm>

#include "encoding/added_tokens.h"
#include "encoding/utf8.h"

namespace ft::encoding {

EncodeJob::EncodeJob(std::string_view text, std::span<const ByteRange> client, size_t longest_token,
                     size_t max_tokens)
    : text_(text), client_(client), longest_(std::max<size_t>(longest_token, 1)), max_tokens_(max_tokens) {
  // Replacing ill-formed bytes never makes a text shorter, so a text that is too long as it is stays so.
  if (exceeded() || is_valid_utf8(text)) return;
  CleanText clean = clean_text(text, client);
  clean_text_ = std::move(clean.text);
  clean_client_ = std::move(clean.client);
  text_ = clean_text_;
  client_ = clean_client_;
}

bool EncodeJob::advance(size_t bytes) {
  const size_t stop = bytes < text_.size() - at_ ? at_ + bytes : text_.size();
  while (at_ < stop && !exceeded()) step();
  return at_ == text_.size() || exceeded();
}

}  // namespace ft::encoding
