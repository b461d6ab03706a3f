// What is known of the tokens of a text that is still growing: the part that every tokenizer does alike.
#pragma once

#include <string_view>
#include <vector>

#include "encoding/added_tokens.h"
#include "encoding/utf8.h"

namespace ft::encoding {

// The tokens of `text` that stay whatever follows it; none where it is ill-formed. `merge(between, is_last, ids)`
// appends those of the text between two added tokens, of which `is_last` says that more may follow directly.
template <class Merge>
std::vector<TokenId> settled_ids(const AddedTokens& added, std::string_view text, const Merge& merge) {
  std::vector<TokenId> ids;
  if (!is_valid_utf8(text)) return ids;
  size_t range = 0;
  for (size_t at = 0;;) {
    // A longer token may still come where one is torn.
    const size_t torn = added.torn_begin(text, at);
    const auto match = added.next(text, at, {}, range);
    const bool is_last = !match || match->begin >= torn;
    merge(text.substr(at, (is_last ? torn : match->begin) - at), is_last, ids);
    if (is_last) return ids;
    ids.push_back(match->id);
    at = match->end;
  }
}

}  // namespace ft::encoding
