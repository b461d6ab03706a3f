// The paper's acceptance of one request's chain of drafts (dspark.md 2.3), beside the Verifier that serving
// uses.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "verify/rejection.h"
#include "verify/sampler.h"
#include "verify/verifier.h"

namespace ft::verify {

// Emits tokens that follow the target's processed distribution (Sampler::distribution), whatever the drafts
// were drawn from, provided that offering a draft did not depend on that draft (dspark.md 3.3). Unlike the
// Verifier's, the tokens of a seed depend on the drafts; without drafts they are drawn by inverse CDF, so
// that they differ from the Verifier's for the same seed too. At T < 1e-5 they equal the Verifier's.
//
// A pure function of the rows, the drafts, the parameters, the seed and the anchor's position. One per
// thread; no allocation once warm, except logprobs.
class RejectionVerifier {
 public:
  // input.tree is a chain: node i is the child of node i - 1. draft_probability[tree.size() - 1, vocab]: row
  // i is the distribution in double, summing to 1, that node i + 1 was drawn from with NoiseStream::kDraft
  // keyed by (params.seed, anchor_position), index i + 1; of any temperature and with or without penalties.
  //
  // `out`, counts and constraint as Verifier::verify leaves them. Each row is processed on its own
  // hypothetical context: penalties count the drafts before it and its mask follows them. A draft that the
  // parameters or the mask rule out is rejected. A draft that ends the request is the last one offered.
  void verify(const VerifyInput& input, std::span<const double> draft_probability, AcceptanceRule rule,
              Verified& out);

 private:
  // Why no row follows the last draft that was walked.
  struct ChainEnd {
    FinishReason finish = FinishReason::kNone;  // the draft ends the request
    bool refused = false;                       // the constraint refuses it though its mask allowed it
    bool unusable = false;                      // the row after it has no usable logit
  };

  ChainEnd walk(const VerifyInput& input, std::span<const double> draft_probability);
  void take_back(const VerifyInput& input);
  void emit(const VerifyInput& input, const ChainEnd& end, Verified& out);
  void emit_token(const VerifyInput& input, int32_t token, Verified& out);
  std::span<const float> logits_row(const VerifyInput& input, int64_t node) const;

  Sampler sampler_;
  ChainAcceptance acceptance_;
  std::vector<double> target_;  // the row in hand
  std::vector<uint32_t> mask_;
  size_t vocab_ = 0;
  int64_t walked_ = 0;              // drafts that counts hold
  std::vector<Constraint> states_;  // [node]: the constraint behind it, as far as it was walked
};

}  // namespace ft::verify
