// The compressor: every `ratio` positions become one entry, per path of the batch.
#include "core/block.h"

namespace ft {

void store_compressor_rows(const LayerScope& scope, const CompressorWeights& weights,
                           const CompressorInputs& inputs, const RatioPlan& plan, float* state) {
  scope.backend.store_compressor_rows(inputs.k, inputs.g, weights.ape, scope.plan.positions, plan.ratio,
                                      state, plan.state_dst);
}

void close_entries(const LayerScope& scope, const CompressorWeights& weights, const RatioPlan& plan,
                   int64_t head_dim, bool is_index_key, const float* state, CacheRows entries) {
  if (plan.close_count == 0) return;
  scope.backend.compress(state, plan.close_sources, plan.close_count, plan.ratio, head_dim, weights.norm,
                         plan.close_rotations, is_index_key, entries, plan.close_dst);
}

}  // namespace ft
