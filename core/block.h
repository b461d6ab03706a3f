// One V4 block: attention, then mixture of experts, each behind its hyper-connection (docs/spec/model.md 3.2
// to 3.9, 3.11b). Main layers, the MTP block and the stages of a DSpark draft are all this.
#pragma once

#include "core/activations.h"
#include "core/backend.h"
#include "core/kv_cache.h"
#include "core/step_plan.h"
#include "core/weights.h"

namespace ft {

// What every part of a layer needs: where to compute, and on what.
struct LayerScope {
  Backend& backend;
  const ModelConfig& config;
  Activations& activations;
  const StepPlan& plan;
  // [m, K] where the layer's chosen experts are kept; null: activations.route_ids.
  int32_t* route_ids = nullptr;
};

// Blocks that run one after the other on activations.streams.
// The output of a block's last sub-layer joins the streams when the next
// block reads them (Backend::hc_post_pre), which saves a pass over them, or in streams().
class BlockChain {
 public:
  // Begins with what activations.streams holds. `scope` must outlive the chain.
  explicit BlockChain(const LayerScope& scope) : scope_(scope) {}

  // streams = block(streams) for the rows of the plan; stages their KV and compressor rows in `cache`.
  void run(const BlockWeights& weights, const LayerCache& cache);

  // The streams after the last block.
  Matrix streams();

 private:
  void enter(const HyperConnectionWeights& hc, Vector norm);

  const LayerScope& scope_;
  bool owes_output_ = false;  // activations.{output, post, comb} have not joined the streams
};

// activations.streams = block(activations.streams): a chain of one block.
void run_block(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache);

// output = attention(input), docs/spec/model.md 3.3 to 3.8.
void run_attention(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache);

// The projections of a compressor, before pooling. k, g [m, w].
struct CompressorInputs {
  Matrix k;
  Matrix g;
};

// Stages the inputs of a compressor (docs/spec/model.md 3.5).
void store_compressor_rows(const LayerScope& scope, const CompressorWeights& weights,
                           const CompressorInputs& inputs, const RatioPlan& plan, float* state);

// The entries that these rows close, from the inputs that are staged. `is_index_key`: the indexer's.
void close_entries(const LayerScope& scope, const CompressorWeights& weights, const RatioPlan& plan,
                   int64_t head_dim, bool is_index_key, const float* state, CacheRows entries);

// selected = the compressed entries that each row attends to in a CSA layer (docs/spec/model.md 3.6).
// Reads index_query and index_weights.
void select_entries(const LayerScope& scope, const RatioPlan& plan, const LayerCache& cache);

// output = moe(input), docs/spec/model.md 3.9.
void run_moe(const LayerScope& scope, const MoeWeights& weights);

}  // namespace ft
