// From a row of logits to a token: the only place where sampling parameters act.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/keyed_ranking.h"
#include "verify/candidate_set.h"
#include "verify/sampling_params.h"
#include "verify/token_counts.h"

namespace ft::verify {

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

struct SampleResult {
  int32_t token = 0;
  // No token had a usable logit: all are NaN, -inf or forbidden. `token` is then the lowest id that the mask
  // allows (0 if it allows none), so that it is always a valid row; the caller should end the request with an
  // error.
  bool degenerate = false;
  // Only when asked for. Log softmax of the raw model logits: before bias, penalties, mask and temperature.
  float logprob = 0;
  std::vector<TokenLogprob> top_logprobs;  // params.logprobs entries, best first, equal values by lowest id
};

// One bit per token, bit v % 32 of word v / 32; a set bit allows the token. Empty: everything is allowed.
using TokenMask = std::span<const uint32_t>;

// Scratch for sampling; one per thread, reused (no allocation once warm, except growing top_logprobs). Every
// result is a pure function of (bits of the logits, params, counts, mask, position): not of rows around it,
// threads or call history.
//
// Processing, in this order (dspark.md 2.1), in float32 up to the mask:
//   logit bias      l += bias
//   repetition      l = l > 0 ? l / r : l * r     for tokens of prompt or output
//   frequency       l -= frequency * count        of the output
//   presence        l -= presence                 for tokens of the output
//   mask            forbidden tokens cannot be chosen
//   temperature     x = double(l) / T; greedy (T < 1e-5): the highest l, lowest id on a tie, and no more
//   top-k           the k largest x, equal x by lowest id: exactly k
//   top-p           the shortest prefix of the rest, in that order, with top_p of its mass; at least one
//   min-p           x >= x_max + log(min_p)
//   choice          argmax of x + gumbel(seed, position, token), equal scores by lowest id
// A NaN or -inf logit is never chosen; +inf counts as the largest finite float.
class Sampler {
 public:
  // Chooses the token at absolute `position` from the row before it, logits[vocab]. `counts` may be null when
  // the params do not use counts; they describe everything before `position` on the row's own path.
  void sample(std::span<const float> logits, const SamplingParams& params, const TokenCounts* counts,
              int64_t position, TokenMask mask, SampleResult& out);

  // The distribution that sample() draws from, over all positions and seeds: out[v] (as many as logits) is
  // the softmax of x over the tokens that top-k, top-p and min-p leave, in double, 0 elsewhere; summing to 1
  // within rounding. Greedy: 1 for the token that sample() takes. False, and all 0, where sample() is
  // degenerate.
  bool distribution(std::span<const float> logits, const SamplingParams& params, const TokenCounts* counts,
                    TokenMask mask, std::span<double> out);

  // Fills `out` as if sample() had chosen `token`, whose raw logit must be above -inf.
  void report(std::span<const float> logits, const SamplingParams& params, int32_t token, SampleResult& out);

 private:
  std::span<const float> process(std::span<const float> logits, const SamplingParams& params,
                                 const TokenCounts* counts, TokenMask mask);
  std::span<const int32_t> narrow(std::span<const float> processed, const SamplingParams& params);
  void fill_logprobs(std::span<const float> logits, int32_t top, SampleResult& out);

  KeyedRanking ranking_;
  CandidateSet candidates_;
  std::vector<float> processed_;
};

}  // namespace ft::verify
