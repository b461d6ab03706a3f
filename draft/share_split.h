// Splits the probability of a node among its children, in their order (share_model.h).
#pragma once

#include <algorithm>

#include "draft/share_model.h"

namespace ft::draft {

class ShareSplit {
 public:
  // The share of the next child: its part of what the children before have left. Children of the model, or of
  // both sources, never get more than the one before, whatever their scores say: the order of a source's
  // children stands. So do n-gram children among themselves, which come behind.
  float next(const ShareModel& shares, DraftSource source, int depth, int rank, float score) {
    return take(shares.share(source, depth, rank, score), remaining_,
                source == DraftSource::kNgram ? ngram_bound_ : model_bound_);
  }
  // The rule itself: `part`, in [0, 1], of what remains, at most the bound, which is the share after that.
  static float take(float part, float& remaining, float& bound) {
    bound = std::min(remaining * part, bound);
    remaining -= bound;
    return bound;
  }

 private:
  float remaining_ = 1.0f;
  float model_bound_ = 1.0f;
  float ngram_bound_ = 1.0f;
};

}  // namespace ft::draft
