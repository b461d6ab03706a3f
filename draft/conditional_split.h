// Splits the probability of a node among its children, in their order (acceptance_table.h).
#pragma once

#include <algorithm>

#include "draft/acceptance_table.h"

namespace ft::draft {

class ConditionalSplit {
 public:
  // The probability of the next child, relative to the node's. Children of the model, or of both sources, never
  // get more than the one before, whatever their scores say: the order of a source's children stands. The same
  // holds for n-gram children among themselves, which come behind.
  float next(const AcceptanceTable& table, DraftSource source, int depth, int rank, float score) {
    return take(table.probability(source, depth, rank, score), remaining_,
                source == DraftSource::kNgram ? ngram_bound_ : model_bound_);
  }
  // The rule itself: `part`, in [0, 1], of what remains, and at most `bound`, which becomes the result.
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
