// Cuts text into the pieces inside which byte-level BPE may merge.
#pragma once

#include <cstddef>
#include <string_view>

namespace ft::encoding {

// The three `Split` patterns of the V3/V4 pre-tokenizer, in order, as tokenizer.json spells them.
// PieceSplitter is written by hand for these and no others; a loader compares.
extern const std::string_view kPretokenizerPatterns[3];

// Pieces of a text one after the other; they concatenate to it. The text must be well-formed UTF-8; the
// views point into it. Linear time, no backtracking, no memory. Source: tokenizer.md section 2
// step 3.
class PieceSplitter {
 public:
  explicit PieceSplitter(std::string_view text) : text_(text) {}
  // The next piece; empty at the end.
  std::string_view next();

 private:
  std::string_view take_until(size_t end);
  std::string_view next_number();
  std::string_view next_word();

  std::string_view text_;
  size_t at_ = 0;
  size_t run_end_ = 0;    // of the run of CJK or of other characters, not numbers, that `at_` is in
  size_t match_end_ = 0;  // of the match that begins at `at_`, where it is known already
};

// End of the pieces of `text` that are the same whatever follows it: all but the last one, and but white space at the
// end, of which a newline behind it would make one piece. Valid UTF-8.
size_t settled_end(std::string_view text);

}  // namespace ft::encoding
