// The compressor: every `ratio` positions become one entry, per path of the batch.
#include "core/block.h"

namespace ft {

void run_compressor(const LayerScope& scope, const CompressorWeights& weights, const CompressorInputs& inputs,
                    const RatioPlan& plan, int64_t head_dim, bool is_index_key, float* state,
                    CacheRows entries) {
  Backend& backend = scope.backend;
  backend.store_compressor_rows(inputs.k, inputs.g, weights.ape, scope.plan.positions, plan.ratio, state,
                                plan.state_dst);
  if (plan.close_count > 0)
    backend.compress(state, plan.close_sources, plan.close_count, plan.ratio, head_dim, weights.norm,
                     plan.close_rotations, is_index_key, entries, plan.close_dst);
}

}  // namespace ft
