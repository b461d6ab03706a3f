// Verification where the target's tokens are known without a model: for executors that only keep time.
#pragma once

#include <cstdint>
#include <iterator>

#include "scheduler/executor.h"

namespace ft::eval {

// Walks the request's tree along the target's tokens, as a verifier does, up to its last token. `target(token, depth)`
// is what the target says behind a node of that token and depth. Accepted rows share `overlap` of their experts with
// the row before.
template <class Target>
void verify_known(const scheduler::StepRequest& request, float overlap, const Target& target,
                  scheduler::RequestOutcome& outcome) {
  verify::Verified& verified = outcome.verified;
  verified.clear();
  outcome.expert_overlaps.clear();
  if (!request.samples()) return;
  const verify::TokenTree& tree = *request.tree;
  int32_t token = tree[0].token;
  for (int32_t node = 0; node >= 0 && std::ssize(verified.emitted) < request.tokens_left;
       node = tree.child(node, token)) {
    verified.path.push_back(node);
    token = target(token, tree[node].depth);
    verified.emitted.push_back(token);
  }
  if (std::ssize(verified.emitted) == request.tokens_left) verified.finish = verify::FinishReason::kLength;
  if (verified.path.size() > 1) outcome.expert_overlaps.assign(verified.path.size() - 1, overlap);
}

}  // namespace ft::eval
