#include "core/block.h"

namespace ft {

void run_block(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache) {
  Backend& backend = scope.backend;
  Activations& a = scope.activations;
  backend.hc_pre(a.streams, weights.hc_attn, weights.attn_norm, a.input, a.post, a.comb);
  run_attention(scope, weights, cache);
  backend.hc_post(a.streams, a.output, a.post, a.comb);
  backend.hc_pre(a.streams, weights.hc_ffn, weights.ffn_norm, a.input, a.post, a.comb);
  run_moe(scope, weights.ffn);
  backend.hc_post(a.streams, a.output, a.post, a.comb);
}

}  // namespace ft
