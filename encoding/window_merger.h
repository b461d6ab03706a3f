// Merges long texts in windows, with the ids that merging them whole gives.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "encoding/encode_job.h"

namespace ft::encoding {

struct MergedToken {
  TokenId id;
  size_t end;  // offset behind the token's bytes
};

// A merge procedure: it starts from small symbols (bytes or characters, or longer strings that are fixed
// before any merge, found from the left) and repeatedly merges the adjacent pair of best rank, leftmost on a
// tie.
class TextMerger {
 public:
  virtual ~TextMerger() = default;
  // Replaces `out` by the tokens of `text`, merged on its own. `text` is valid UTF-8 or a part of one that
  // begins and ends where begins_token() allows.
  virtual void merge(std::string_view text, std::vector<MergedToken>& out) = 0;
  // Whether `text`, an end of a valid text, is a proper beginning of some token that merges can make.
  virtual bool begins_token(std::string_view text) const = 0;
  // Bytes of the longest such token.
  virtual size_t longest() const = 0;
};

// Memory grows with the window, not with the text.
//
// Why a window may be cut. Call the places between tokens the cuts of a text.
// (1) No merge crosses a cut, so what happens on its two sides is independent: the tokens of a text are those
//     of the part before any of its cuts, and those of the part behind.
// (2) Conversely, a sequence of tokens is what its text merges to if each pair of neighbours is what the pair
//     merges to. (Look at the first merge over a border: the pair on its own would have made it, too.)
// Let W be a window at the beginning of a text. If the token that covers the end of W in the whole text
// begins at q, then q is a cut, and either q is the end of W or W[q..] is a proper beginning of a token: few
// places qualify. Let p < c be neighbouring cuts of W on its own. If W[p..q] on its own has the cut c for
// each q that qualifies, then by (2) so has W[0..q], and by (1) so has the whole text, whatever it is. So the
// tokens of W before c are final.
class WindowMerger {
 public:
  // Bytes of a window are this many longest tokens: looking for the cut merges at most about two texts of
  // that length per byte of it, which is then little beside the window.
  static constexpr size_t kDefaultWindow = 256;

  // `merger` must outlive this. A `window` of 0 bytes stands for the default.
  explicit WindowMerger(TextMerger& merger, size_t window = 0)
      : merger_(&merger), window_(window > 0 ? window : kDefaultWindow * merger.longest()) {}

  // Appends the ids of a beginning of `text` and returns its length (not 0 unless `text` is empty): all of it
  // if it fits into a window, else up to a final cut. A window without one is doubled. `text` is valid UTF-8.
  size_t merge_some(std::string_view text, std::vector<TokenId>& ids);
  // Appends the ids of `text`, all of it.
  void merge(std::string_view text, std::vector<TokenId>& ids) {
    while (!text.empty()) text.remove_prefix(merge_some(text, ids));
  }
  // Appends the ids of a beginning of `text`, maybe empty, that are the same whatever follows `text`.
  void merge_settled(std::string_view text, std::vector<TokenId>& ids);

 private:
  // A cut at or behind `least` of the window `text` that is final, 0 if none is found. `tokens_` are its
  // tokens.
  size_t final_cut(std::string_view text, size_t least);
  void take_tokens(size_t cut, std::vector<TokenId>& ids) const;
  // Whether `cut` is final, given the one before it.
  bool is_final(std::string_view text, size_t previous, size_t cut);

  TextMerger* merger_;
  size_t window_;
  std::vector<MergedToken> tokens_, tail_;
  std::vector<size_t> starts_;  // where the token that covers the window's end may begin, from the right
  std::vector<size_t> cuts_;    // of the window, at characters and before all of these places, from the left
};

}  // namespace ft::encoding
