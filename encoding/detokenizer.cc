#include "encoding/detokenizer.h"

namespace ft::encoding {

std::string Detokenizer::feed(TokenId id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  return stream_.feed(tokenizer_->token_bytes(id));
}

}  // namespace ft::encoding
