// The mixture of experts: hash or score routing, then the chosen experts and the shared one.
#include "core/block.h"

namespace ft {

void run_moe(const LayerScope& scope, const MoeWeights& weights) {
  const ModelConfig& config = scope.config;
  Activations& a = scope.activations;
  int32_t* ids = scope.route_ids != nullptr ? scope.route_ids : a.route_ids;
  scope.backend.route(a.input, weights, scope.plan.tokens, config.num_experts_per_tok,
                      config.routed_scaling_factor, ids, a.route_weights.data);
  scope.backend.moe(a.input, weights, ids, a.route_weights.data, config.num_experts_per_tok,
                    config.swiglu_limit, a.output);
}

}  // namespace ft
