#include "encoding/window_merger.h"

#include <algorithm>

namespace ft::encoding {
namespace {

bool inside_character(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

}  // namespace

size_t WindowMerger::merge_some(std::string_view text, std::vector<TokenId>& ids) {
  for (size_t window = std::max<size_t>(window_, 1);; window *= 2) {
    size_t end = std::min(window, text.size());
    while (inside_character(text, end)) ++end;
    const std::string_view seen = text.substr(0, end);
    merger_->merge(seen, tokens_);
    const size_t cut = end == text.size() ? end : final_cut(seen, seen.size() / 2);
    if (cut == 0 && end < text.size()) continue;
    take_tokens(cut, ids);
    return cut;
  }
}

void WindowMerger::merge_settled(std::string_view text, std::vector<TokenId>& ids) {
  merger_->merge(text, tokens_);
  take_tokens(final_cut(text, 0), ids);
}

// Those of the last window before `cut`.
void WindowMerger::take_tokens(size_t cut, std::vector<TokenId>& ids) const {
  for (const MergedToken& token : tokens_) {
    if (token.end > cut) break;
    ids.push_back(token.id);
  }
}

size_t WindowMerger::final_cut(std::string_view text, size_t least) {
  starts_.assign(1, text.size());
  for (size_t length = 1; length < merger_->longest() && length <= text.size(); ++length) {
    if (merger_->begins_token(text.substr(text.size() - length))) starts_.push_back(text.size() - length);
  }
  cuts_.assign(1, 0);
  for (const MergedToken& token : tokens_) {
    if (token.end <= starts_.back() && !inside_character(text, token.end)) cuts_.push_back(token.end);
  }
  // The nearest cut first, then others at distances that double.
  size_t index = cuts_.size() - 1;
  for (size_t step = 1; cuts_[index] > 0 && cuts_[index] >= least; step *= 2) {
    if (is_final(text, cuts_[index - 1], cuts_[index])) return cuts_[index];
    index -= std::min(step, index);
  }
  return 0;
}

bool WindowMerger::is_final(std::string_view text, size_t previous, size_t cut) {
  for (const size_t start : starts_) {
    merger_->merge(text.substr(previous, start - previous), tail_);
    const auto found = std::find_if(tail_.begin(), tail_.end(),
                                    [&](const MergedToken& token) { return previous + token.end >= cut; });
    if (found == tail_.end() || previous + found->end != cut) return false;
  }
  return true;
}

}  // namespace ft::encoding
