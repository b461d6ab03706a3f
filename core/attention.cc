// Attention of one layer: window only (SWA), window + selected entries (CSA), window + all entries (HCA).
#include <array>

#include "core/block.h"

namespace ft {

namespace {

Matrix columns(const Matrix& matrix, int64_t count) {
  return Matrix(matrix.data, matrix.rows, count);
}

// Linears of one layer that do not depend on each other.
class Calls {
 public:
  void add(const LinearCall& call) { calls_[count_++] = call; }
  // Stay float32: rounding happens only after pooling (docs/spec/model.md 3.5).
  void add(const Matrix& x, const CompressorWeights& weights, const CompressorInputs& outputs) {
    add({x, &weights.wkv, outputs.k, LinearInput::kBF16});
    add({x, &weights.wgate, outputs.g, LinearInput::kBF16});
  }
  void run(Backend& backend) const { backend.linears(std::span(calls_).first(count_)); }

 private:
  std::array<LinearCall, 7> calls_;
  size_t count_ = 0;
};

}  // namespace

void run_attention(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache) {
  Backend& backend = scope.backend;
  const ModelConfig& config = scope.config;
  Activations& a = scope.activations;
  const AttentionWeights& w = weights.attn;
  const LayerKind kind = weights.kind();
  // Layers without a compressor use the plain rotary table,
  // the others the YaRN one, for everything they rotate.
  const Rotations rotations = kind == LayerKind::kSwa ? scope.plan.plain : scope.plan.compressed;

  const CompressorInputs entries = {columns(a.compressor_k, w.compressor.wkv.rows),
                                    columns(a.compressor_g, w.compressor.wkv.rows)};
  const CompressorInputs index_keys = {columns(a.index_k, w.indexer.compressor.wkv.rows),
                                       columns(a.index_g, w.indexer.compressor.wkv.rows)};
  // What reads the same rows goes together.
  Calls down;
  down.add({a.input, &w.wq_a, a.query_low, LinearInput::kQ8, LinearOutput::kBF16});
  down.add({a.input, &w.wkv, a.kv, LinearInput::kQ8, LinearOutput::kBF16});
  if (kind != LayerKind::kSwa) down.add(a.input, w.compressor, entries);
  if (kind == LayerKind::kCsa) {
    down.add(a.input, w.indexer.compressor, index_keys);
    down.add({a.input, &w.indexer.weights_proj, a.index_weights, LinearInput::kBF16, LinearOutput::kBF16});
  }
  down.run(backend);
  // All cache writes of a row come before its attention: it sees itself and a block that it closes.
  const RatioPlan* plan = kind != LayerKind::kSwa ? &scope.plan.ratio(weights.ratio) : nullptr;
  {
    const IndependentOps together(backend);
    backend.store_kv(a.kv, w.kv_norm, rotations, cache.raw, scope.plan.raw_dst);
    if (plan != nullptr) store_compressor_rows(scope, w.compressor, entries, *plan, cache.state.f32());
    if (kind == LayerKind::kCsa)
      store_compressor_rows(scope, w.indexer.compressor, index_keys, *plan, cache.index_state.f32());
  }
  backend.rms_norm(a.query_low, w.q_norm, a.query_normed);
  Calls up;
  up.add({a.query_normed, &w.wq_b, a.query, LinearInput::kQ8, LinearOutput::kBF16});
  if (kind == LayerKind::kCsa)
    up.add({a.query_normed, &w.indexer.wq_b, a.index_query, LinearInput::kQ8, LinearOutput::kBF16});
  up.run(backend);
  const auto head_unit = static_cast<int>(attention_unit_heads(config));
  AttentionArgs args;
  {
    const IndependentOps together(backend);
    backend.query_norm_rope(a.query, config.head_dim, head_unit, rotations);
    if (kind == LayerKind::kCsa) backend.index_query(a.index_query, config.index_head_dim, rotations);
    if (plan != nullptr) {
      close_entries(scope, w.compressor, *plan, config.head_dim, false, cache.state.f32(), cache.compressed);
      args.compressed = cache.compressed;
    }
    if (kind == LayerKind::kCsa) {
      close_entries(scope, w.indexer.compressor, *plan, config.index_head_dim, true, cache.index_state.f32(),
                    cache.index_keys);
    }
  }
  if (kind == LayerKind::kCsa) {
    select_entries(scope, *plan, cache);
    args.selected = a.selected;
    args.selected_width = config.index_topk;
  } else if (plan != nullptr) {
    args.all_visible = &plan->view;
  }
  args.q = a.query;
  args.raw = cache.raw;
  args.window = scope.plan.window;
  args.window_width = scope.plan.window_width;
  args.sink = w.sink;
  args.head_count = config.num_attention_heads;
  args.head_unit = head_unit;
  args.head_dim = config.head_dim;
  args.inverse = rotations;
  args.out = a.attended;
  backend.attend(args);

  // wo_a takes bf16 activations although it is stored as fp8 (docs/spec/model.md 3.8).
  backend.linear(a.attended, w.wo_a, a.projected, LinearInput::kBF16, LinearOutput::kBF16, config.o_groups);
  backend.shard_linear(a.projected, w.wo_b, projected_axis(config).unit, a.output, LinearInput::kQ8,
                       LinearOutput::kBF16);
}

}  // namespace ft
