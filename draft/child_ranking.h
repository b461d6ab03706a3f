// Ranks the children of a draft node under the request's noise, which the verifier will sample with too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/keyed_ranking.h"

namespace ft::draft {

// A token and its probability under the draft.
struct RankedChild {
  int32_t token = 0;
  float probability = 0.0f;
};

// What the order of a node's children depends on.
struct Ranking {
  double temperature = 0.0;
  NoiseKey noise;  // position: the child's own, absolute

  bool greedy() const { return temperature < kGreedyTemperature; }
};

// scores[j] = log_odds(p_j / (1 - sum of the probabilities before)): what the draft's own distribution says
// about child j given that none of the children before is taken (acceptance_table.h). As many as children.
void conditional_scores(std::span<const RankedChild> children, std::span<float> scores);

// Ranks children; keeps scratch between calls.
class ChildRanking {
 public:
  // Fills `best` with the tokens that KeyedRanking ranks first, best first. `probability` is the softmax at
  // the temperature, or at 1 for greedy ranking: an estimate, never part of a decision about tokens. Returns
  // how many were filled: fewer than best.size() when fewer tokens can be chosen. (dspark.md 2.4, 6.3b)
  size_t rank(std::span<const float> logits, const Ranking& ranking, std::span<RankedChild> best);

 private:
  KeyedRanking ranking_;
};

}  // namespace ft::draft
