#include "encoding/text_tokens.h"

#include <algorithm>

namespace ft::encoding {

std::vector<std::string_view> text_tokens(const Tokenizer& tokenizer, int64_t size, std::string_view markup) {
  std::vector<std::string_view> tokens(static_cast<size_t>(size));
  for (TokenId id = 0; id < std::min<int64_t>(tokenizer.vocab_size(), size); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    if (tokenizer.id_of(bytes) != id || bytes == markup) tokens[static_cast<size_t>(id)] = bytes;
  }
  return tokens;
}

}  // namespace ft::encoding
