// The paper's acceptance rules for a chain of drafts, one row at a time, for experiments beside the coupled
// noise that serving uses. Exact only if the decision to offer a draft does not look at that draft
// (dspark.md 2.3, 3.3).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/categorical.h"
#include "core/noise.h"

namespace ft::verify {

enum class AcceptanceRule : uint8_t {
  // Token by token: x_k stands if u_k * q(x_k) < p(x_k); the first that does not is replaced by a draw from
  // max(p - q, 0), or from p if that has a mass below 1e-8. P(x_k stands | x_<k stand) = sum_v min(p, q).
  kToken,
  // The whole block at once: never fewer expected tokens than kToken from the same rows (dspark.md 2.3).
  kBlock,
};

// Decides how many of the drafts x_1..x_l of one step stand, and what follows them.
//
//   acceptance.start(rule, anchor);
//   row(p_1, q_1, x_1), row(p_2, q_2, x_2), ... while it returns true;
//   then last_row(p_{l+1}) if there is one, or end() if nothing may follow x_l.
//
// p_k and q_k are the target's and the draft's distribution of the token `k` places after the anchor, given
// x_1..x_{k-1}: [vocab] in double, each summing to 1; x_k was drawn from q_k with NoiseStream::kDraft of the
// same anchor. Where the chain stops being offered may depend on x_1..x_l (a stop token ends it), not on
// x_{l+1}. The result is a pure function of the rows, the drafts and the anchor. Reused, no allocation once
// warm.
class ChainAcceptance {
 public:
  static constexpr int32_t kNothing = -1;

  // `anchor`: the request's seed and the absolute position of the anchor, which x_1 follows. Noise of the
  // acceptance of x_k: kAcceptance at the anchor, index k. Noise of a token that no draft supplies:
  // kResidual at the token's own position.
  void start(AcceptanceRule rule, NoiseKey anchor);

  // The row that x_k was offered for. False if no further row can change the result.
  bool row(std::span<const double> p, std::span<const double> q, int32_t draft);
  // The row after the last draft.
  void last_row(std::span<const double> p);
  // No row after the last draft: it ends the request, or its row is unusable.
  void end();

  // x_1..x_accepted stand. Valid once row() returned false, or after last_row() or end().
  int64_t accepted() const { return accepted_; }
  // The token after them; kNothing if all the drafts stand and end() said that nothing follows.
  int32_t next() const { return next_; }

 private:
  // Whether the step may stop after x_1..x_{offered_}, if it does with this probability.
  bool stands(double probability) const;
  void stop_here(int32_t next);
  double residual_noise() const;
  double residual(std::span<const double> p, std::span<const double> q);
  int32_t draw_residual(std::span<const double> p, double mass) const;
  bool token_row(std::span<const double> p, std::span<const double> q, size_t draft);
  bool block_row(std::span<const double> p, std::span<const double> q, size_t draft);

  AcceptanceRule rule_ = AcceptanceRule::kToken;
  NoiseKey anchor_ = {};
  int64_t offered_ = 0;  // drafts seen so far
  double weight_ = 1.0;  // w of dspark.md 2.3 after them; 1 under kToken, where all of them stand
  int64_t accepted_ = 0;
  int32_t next_ = kNothing;
  std::vector<double> residual_;
};

}  // namespace ft::verify
