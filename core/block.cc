#include "core/block.h"

namespace ft {

// input = norm(the sub-layer's share of the streams),
// after the output of the sub-layer before has joined them.
void BlockChain::enter(const HyperConnectionWeights& hc, Vector norm) {
  const Activations& a = scope_.activations;
  if (owes_output_) {
    scope_.backend.hc_post_pre(a.streams, {a.output, a.post, a.comb}, hc, norm, a.input, a.post, a.comb);
  } else {
    scope_.backend.hc_pre(a.streams, hc, norm, a.input, a.post, a.comb);
  }
  owes_output_ = true;
}

void BlockChain::run(const BlockWeights& weights, const LayerCache& cache) {
  enter(weights.hc_attn, weights.attn_norm);
  run_attention(scope_, weights, cache);
  enter(weights.hc_ffn, weights.ffn_norm);
  run_moe(scope_, weights.ffn);
}

Matrix BlockChain::streams() {
  const Activations& a = scope_.activations;
  if (owes_output_) scope_.backend.hc_post(a.streams, {a.output, a.post, a.comb});
  owes_output_ = false;
  return a.streams;
}

void run_block(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache) {
  BlockChain chain(scope);
  chain.run(weights, cache);
  (void)chain.streams();
}

}  // namespace ft
