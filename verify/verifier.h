// The walk of one request's tree: sample the target at the anchor, descend while the target's token is in the
// tree.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/constraint.h"
#include "verify/acceptance.h"
#include "verify/sampler.h"
#include "verify/sampling_params.h"
#include "verify/token_counts.h"
#include "verify/token_tree.h"

namespace ft::verify {

struct VerifyInput {
  const TokenTree& tree;          // at least the anchor
  std::span<const float> logits;  // [tree.size(), vocab]: row i chooses the token after node i
  const SamplingParams& params;
  int64_t anchor_position = 0;  // absolute position of node 0
  const StopRule& stop;         // tokens_left >= 1
  // Tokens up to and including the anchor; may be null if !params.uses_counts().
  TokenCounts* counts = nullptr;
  // The request's constraint, in its state after the anchor; null: unconstrained.
  Constraint* constraint = nullptr;
};

struct Verified {
  std::vector<int32_t> path;          // node indices, the anchor first: the rows to commit
  std::vector<int32_t> emitted;       // tokens of path[1..], then one more: as many as path
  std::vector<SampleResult> samples;  // per emitted token
  FinishReason finish = FinishReason::kNone;
  // The last emitted token is not to be sent: its row had no usable logit, or the constraint refused what its
  // own mask allowed. The request cannot go on.
  bool degenerate = false;

  void clear();  // as before a walk; keeps the memory
  int64_t accepted() const { return static_cast<int64_t>(path.size()) - 1; }  // drafted tokens that stand
};

// Samples only the rows on the accepted path: accepted + 1 of them. One per thread; no allocation once warm,
// except logprobs. The emitted tokens do not depend on the tree.
class Verifier {
 public:
  // Walks until the target's token is not in the tree, ends the request, or a row is degenerate. `out` is
  // overwritten. Afterwards counts and constraint have moved past every emitted token, except that the
  // constraint does not move past a last token that ends the request.
  void verify(const VerifyInput& input, Verified& out);

 private:
  Sampler sampler_;
  std::vector<uint32_t> mask_;
};

}  // namespace ft::verify
