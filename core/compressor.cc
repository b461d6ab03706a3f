// The compressor: every `ratio` positions become one entry, per path of the batch.
#include "core/block.h"

namespace ft {

void run_compressor(const LayerScope& scope, const CompressorWeights& weights, const RatioPlan& plan,
                    int64_t head_dim, bool is_index_key, float* state, CacheRows entries) {
  Backend& backend = scope.backend;
  Activations& a = scope.activations;
  const int64_t width = weights.wkv.rows;
  Matrix k(a.compressor_k.data, a.compressor_k.rows, width);
  Matrix g(a.compressor_g.data, a.compressor_g.rows, width);
  // Projections stay float32: rounding happens only after pooling (docs/spec/model.md 3.5).
  const LinearCall projections[] = {{a.input, &weights.wkv, k}, {a.input, &weights.wgate, g}};
  backend.linears(projections);
  backend.store_compressor_rows(k, g, weights.ape, scope.plan.positions, plan.ratio, state, plan.state_dst);
  if (plan.close_count > 0)
    backend.compress(state, plan.close_sources, plan.close_count, plan.ratio, head_dim, weights.norm,
                     plan.close_rotations, is_index_key, entries, plan.close_dst);
}

}  // namespace ft
