// Attention of one layer: window only (SWA), window + selected entries (CSA), window + all entries (HCA).
#include "core/block.h"

namespace ft {

void run_attention(const LayerScope& scope, const BlockWeights& weights, const LayerCache& cache) {
  Backend& backend = scope.backend;
  const ModelConfig& config = scope.config;
  Activations& a = scope.activations;
  const AttentionWeights& w = weights.attn;
  const LayerKind kind = weights.kind();
  // Layers without a compressor use the plain rotary table,
  // the others the YaRN one, for everything they rotate.
  const Rotations rotations = kind == LayerKind::kSwa ? scope.plan.plain : scope.plan.compressed;

  const LinearCall down[] = {{a.input, &w.wq_a, a.query_low, LinearInput::kQ8, LinearOutput::kBF16},
                             {a.input, &w.wkv, a.kv, LinearInput::kQ8, LinearOutput::kBF16}};
  backend.linears(down);
  backend.rms_norm(a.query_low, w.q_norm, a.query_low);
  backend.linear(a.query_low, w.wq_b, a.query, LinearInput::kQ8, LinearOutput::kBF16);
  const auto head_unit = static_cast<int>(attention_unit_heads(config));
  backend.query_norm_rope(a.query, config.head_dim, head_unit, rotations);
  backend.store_kv(a.kv, w.kv_norm, rotations, cache.raw, scope.plan.raw_dst);

  AttentionArgs args;
  if (kind != LayerKind::kSwa) {
    // All cache writes of a row come before its attention: it sees itself and a block that it closes.
    const RatioPlan& plan = scope.plan.ratio(weights.ratio);
    run_compressor(scope, w.compressor, plan, config.head_dim, false, cache.state.f32(), cache.compressed);
    args.compressed = cache.compressed;
    if (kind == LayerKind::kCsa) {
      run_indexer(scope, w.indexer, plan, cache);
      args.selected = a.selected;
      args.selected_width = config.index_topk;
    } else {
      args.all_visible = &plan.view;
    }
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
  backend.linear(a.attended, w.wo_a, a.projected, LinearInput::kAsIs, LinearOutput::kBF16, config.o_groups);
  backend.shard_linear(a.projected, w.wo_b, projected_axis(config).unit, a.output, LinearInput::kQ8,
                       LinearOutput::kBF16);
}

}  // namespace ft
