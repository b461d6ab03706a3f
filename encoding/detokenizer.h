// Token ids, one at a time, to complete UTF-8 text: never a torn character.
#pragma once

#include <string>

#include "encoding/tokenizer.h"
#include "encoding/utf8.h"

namespace ft::encoding {

// Source: tokenizer.md section 3. The concatenation of all fed pieces and the flush equals
// Tokenizer::decode. One per output sequence; not shared between threads. The tokenizer must outlive it.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // Text that is complete after this token; often empty, because a token may hold part of a character. An id
  // outside the vocabulary adds nothing.
  std::string feed(TokenId id);
  // After the last token: one U+FFFD if it ended inside a character, else "". The detokenizer may then be
  // used anew.
  std::string flush() { return stream_.flush(); }

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  Utf8Stream stream_;
};

}  // namespace ft::encoding
