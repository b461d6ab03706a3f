// Which tokens text can be made of.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "encoding/tokenizer.h"

namespace ft::encoding {

// The bytes of token v, for v below `size`; empty for added tokens, which are control tokens and no text, but for
// `markup` if it is one, and beyond the vocabulary. The views live as long as the tokenizer.
std::vector<std::string_view> text_tokens(const Tokenizer& tokenizer, int64_t size,
                                          std::string_view markup = {});

}  // namespace ft::encoding
