// Splits the probability of a node among its children, in their order (share_model.h).
#pragma once

#include <algorithm>

#include "draft/share_model.h"

namespace ft::draft {

class ShareSplit {
 public:
  // The share of the next child: its part of what the children before have left. Children of the model, or of
  // both sources, never get more than the one before, whatever their scores say: the order of a source's
  // children stands. So do n-gram children among themselves, which come behind. Not a number if the score is
  // not.
  float next(const ShareModel& shares, DraftSource source, int depth, int rank, float score) {
    return next(source, shares.share(source, depth, rank, score));
  }
  // The same for a part that is known: what the share model says of the child.
  float next(DraftSource source, float part) {
    return take(part, remaining_, source == DraftSource::kNgram ? ngram_bound_ : model_bound_);
  }
  // The rule itself: `part` of what remains, at most the bound. Both go down with what is taken.
  static float take(float part, float& remaining, float& bound) {
    // In this order a part that is not a number stays one.
    const float share = std::min(remaining * part, bound);
    if (!(share > 0.0f)) return share;
    bound = share;
    remaining = std::max(remaining - share, 0.0f);
    return share;
  }

 private:
  float remaining_ = 1.0f;
  float model_bound_ = 1.0f;
  float ngram_bound_ = 1.0f;
};

}  // namespace ft::draft
