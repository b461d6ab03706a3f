// The paper's acceptance rules for a chain of drafts, as pure functions, for experiments beside the coupled
// noise that serving uses. Exact only if the decision to offer a draft does not look at that draft
// (dspark.md 2.3, 3.3).
#pragma once

#include <cstdint>
#include <span>

#include "core/categorical.h"
#include "core/noise.h"

namespace ft::verify {

// Distributions are rows of `vocab` probabilities in double, each summing to 1.
struct ChainInput {
  std::span<const int32_t> draft = {};              // x_1..x_l, x_k drawn from row k-1 of draft_probability
  std::span<const double> target_probability = {};  // [l + 1, vocab]
  std::span<const double> draft_probability = {};   // [l, vocab]
  int64_t vocab = 0;
  // The noise of x_k is at position key.position + k - 1, streams kAcceptance and kResidual. The draft must
  // have been drawn from other noise (kDraft, for instance).
  NoiseKey key = {};
};

struct ChainAccepted {
  int64_t accepted = 0;  // x_1..x_accepted stand
  int32_t next = 0;      // the token after them
};

// Token by token: x_k stands if u_k * q(x_k) < p(x_k); the first that does not is replaced by a draw from
// max(p - q, 0), or from p if that has a mass below 1e-8. P(x_k stands | x_<k stand) = sum_v min(p, q).
ChainAccepted accept_chain(const ChainInput& input);

// The whole block at once: never fewer expected tokens than accept_chain from the same inputs
// (dspark.md 2.3).
ChainAccepted accept_block(const ChainInput& input);

}  // namespace ft::verify
