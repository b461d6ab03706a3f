// Drafts one DSpark block greedily and keeps every intermediate result, for comparison with reference
// outputs.
#pragma once

#include <cstdint>
#include <vector>

#include "draft/dspark_network.h"
#include "draft/markov_head.h"

namespace ft::draft {

// Entry j belongs to the position j + 1 behind the anchor; g positions in all.
struct GreedyBlock {
  std::vector<float> base_logits;  // [g, V]
  std::vector<float> logits;  // [g, V] with the Markov bias of the token before: the anchor, then the drafts
  std::vector<float> confidence;  // [g] raw logits
  std::vector<int32_t> tokens;    // [g] largest logit each, the lowest id of equal ones
};

// Runs a block pass for `anchor` alone; leaves the results of the pass in `network`.
GreedyBlock draft_greedy_block(DsparkNetwork& network, MarkovHead& markov, const BlockAnchor& anchor,
                               const DsparkNetwork::StageVisitor& visit = {});

}  // namespace ft::draft
