// Cuts text into the pieces inside which byte-level BPE may merge.
#pragma once

#include <string_view>
#include <vector>

namespace ft::encoding {

// The three `Split` patterns of the V3/V4 pre-tokenizer, in order, as tokenizer.json spells them.
// split_pieces is written by hand for these and no others; a loader compares.
extern const std::string_view kPretokenizerPatterns[3];

// Pieces of `text` in order; they concatenate to it. `text` must be well-formed UTF-8; the views point into
// it. Linear time, no backtracking. Source: tokenizer.md section 2 step 3.
std::vector<std::string_view> split_pieces(std::string_view text);

}  // namespace ft::encoding
