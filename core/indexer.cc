// The lightning indexer of CSA layers: which compressed entries a row attends to.
#include <cmath>

#include "core/block.h"

namespace ft {

void select_entries(const LayerScope& scope, const RatioPlan& plan, const LayerCache& cache) {
  Backend& backend = scope.backend;
  const ModelConfig& config = scope.config;
  Activations& a = scope.activations;
  // cI^-1/2 * HI^-1/2, the constant of docs/spec/model.md 3.6.3 for any head count.
  const float scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.index_head_dim) * config.index_n_heads));
  backend.index_select(a.index_query, a.index_weights, scale, cache.index_keys, config.index_head_dim,
                       plan.view, config.index_topk, a.selected);
}

}  // namespace ft
