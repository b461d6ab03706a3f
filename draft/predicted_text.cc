#include "draft/predicted_text.h"

#include <algorithm>
#include <utility>

namespace ft::draft {

PredictedText::PredictedText(std::vector<int32_t> tokens, int32_t begins_after)
    : tokens_(std::move(tokens)), begins_after_(begins_after), waits_(begins_after >= 0) {}

void PredictedText::advance(int32_t token) {
  if (waits_) {
    waits_ = token != begins_after_;
    return;
  }
  if (lost_) {
    find_again(token);
  } else if (!find_near(token)) {
    lost_ = std::exchange(differed_, true);
    at_ = std::min(at_ + 1, tokens_.size());
  }
  before_ = token;
}

bool PredictedText::find_near(int32_t token) {
  const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(at_);
  const auto end = begin + static_cast<std::ptrdiff_t>(std::min(kNear, tokens_.size() - at_));
  const auto found = std::find(begin, end, token);
  if (found == end) return false;
  at_ = floor_ = static_cast<size_t>(found - tokens_.begin()) + 1;
  differed_ = false;
  ++accepted_;
  return true;
}

void PredictedText::find_again(int32_t token) {
  const size_t end = std::min(tokens_.size(), floor_ + kReach);
  for (size_t i = floor_; i + 1 < end; ++i) {
    if (tokens_[i] != before_ || tokens_[i + 1] != token) continue;
    at_ = floor_ = i + 2;
    lost_ = differed_ = false;
    accepted_ += 2;
    return;
  }
}

}  // namespace ft::draft
