// The best tokens of one row of logits under keyed Gumbel noise, exactly and without paying a logarithm per
// token. The target's choice is the first of this order; a draft's children are the first few
// (docs/spec/dspark.md 2.4).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/noise.h"

namespace ft {

// Temperatures below this are greedy: no noise, and no division (docs/spec/dspark.md 2.2).
inline constexpr double kGreedyTemperature = 1e-5;

struct RankedToken {
  int32_t token = 0;
  double score = 0;  // double(logit) / temperature + gumbel(key, token), all in double; greedy: double(logit)
};

// Scratch for ranking; keep one per thread and reuse it (no allocation once `count` has been seen). The
// result is a pure function of the arguments: not of earlier calls, threads, or the machine's vector width.
class KeyedRanking {
 public:
  // The `count` (>= 1) tokens with the highest scores, best first, equal scores by lowest id.
  // Fewer when fewer tokens can be chosen: a logit of NaN or -inf never is;
  // +inf counts as the largest finite float. Valid until the next call.
  // Expected cost: one Philox block per two tokens whose logit could still win, a few exact scores.
  std::span<const RankedToken> rank(std::span<const float> logits, double temperature, NoiseKey key,
                                    int64_t count);

  // The same order restricted to `candidates` (distinct ids, any order).
  std::span<const RankedToken> rank(std::span<const float> logits, std::span<const int32_t> candidates,
                                    double temperature, NoiseKey key, int64_t count);

 private:
  void rank_greedily(std::span<const float> logits, float largest, int64_t count);
  void rank_with_noise(std::span<const float> logits, float largest, double temperature, NoiseKey key,
                       int64_t count);
  void offer(int32_t token, double score, int64_t count);

  std::vector<RankedToken> best_;
};

}  // namespace ft
