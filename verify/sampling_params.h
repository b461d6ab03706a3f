// What a request may ask of the choice of its tokens, and which values are allowed.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/keyed_ranking.h"

namespace ft::verify {

// Names and defaults as in the OpenAI API and its common extensions. How they act, and in which order:
// sampler.h.
struct SamplingParams {
  double temperature = 1.0;         // [0, 100]; below kGreedyTemperature the choice is greedy
  int64_t top_k = 0;                // >= 0; 0 = off
  double top_p = 1.0;               // (0, 1]; 1 = off
  double min_p = 0.0;               // [0, 1]; 0 = off
  double repetition_penalty = 1.0;  // (0, 100]; 1 = off; over prompt and output
  double presence_penalty = 0.0;    // [-2, 2]; over output
  double frequency_penalty = 0.0;   // [-2, 2]; over output
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // (token id, [-100, 100]), ascending ids, each once
  int32_t logprobs = -1;  // -1 = none; n in [0, 20] = of the chosen token and the n best

  bool greedy() const { return temperature < kGreedyTemperature; }

  // Whether the request's tokens must be counted (TokenCounts) for the sampler.
  bool uses_counts() const {
    return repetition_penalty != 1.0 || presence_penalty != 0.0 || frequency_penalty != 0.0;
  }
};

// kInvalidArgument with the field, its value and its range for the first field out of range (NaN is).
Result<void> validate(const SamplingParams& params, int64_t vocab_size);

}  // namespace ft::verify
