// Drafts what a client has predicted.
#pragma once

#include <cstdint>

#include "draft/drafter.h"

namespace ft::draft {

// The tokens of request.predicted as a chain of DraftSource::kPrediction, at most request.nodes_max of them and
// kPredictedMost. `vocab_size`: the width of the distributions of a drawn chain, which give each token probability 1.
inline constexpr int kPredictedMost = 64;
void draft_prediction(const ProposeRequest& request, int64_t vocab_size, DraftTree& tree);

}  // namespace ft::draft
