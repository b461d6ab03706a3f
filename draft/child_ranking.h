// The best children of a draft node under the request's own noise, which is what the verifier will compare
// with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/noise.h"

namespace ft::draft {

// A token and its probability under the draft.
struct RankedChild {
  int32_t token = 0;
  float probability = 0.0f;
};

// Most children that one call ranks.
inline constexpr size_t kRankedMax = 8;

// What decides the order of the children of a node.
struct Ranking {
  double temperature = 0.0;
  NoiseKey noise;  // position: the child's own, absolute
};

// Fills `best` with the tokens of largest logits[v]/temperature + g(noise, v), best first; ties go to
// the lower id. Scores are float64; temperature 0 takes the plain logits. `probability` is the softmax at
// `temperature` (1 where that is 0), accurate to 1e-4: an estimate, never part of a decision about tokens.
// Logits that are not numbers are passed over. Returns how many were filled: best.size() or the number of
// logits that are numbers above -infinity, whichever is less,
// and at most kRankedMax. (dspark.md 2.4, 6.3b)
size_t rank_children(std::span<const float> logits, const Ranking& ranking, std::span<RankedChild> best);

}  // namespace ft::draft
