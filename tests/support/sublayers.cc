#include "tests/support/sublayers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/dtype.h"

namespace ft::test {

namespace {

std::vector<int32_t> iota(int64_t count) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

// One sequence on one page: entry j is at address j, and row r sees (r + 1) / ratio of them.
CompressedView causal_view(BackendMemory& memory, int64_t rows, int ratio) {
  CompressedView view;
  std::vector<int32_t> committed;
  for (int64_t r = 0; r < rows; ++r) committed.push_back(static_cast<int32_t>((r + 1) / ratio));
  view.page_table = memory.ints({0});
  view.page_stride = 1;
  view.entries_per_page = 1 << 20;
  view.sequence = memory.ints(std::vector<int32_t>(static_cast<size_t>(rows), 0));
  view.committed = memory.ints(committed);
  view.private_offset = memory.ints(std::vector<int32_t>(static_cast<size_t>(rows) + 1, 0));
  view.private_entry = memory.ints({0});
  view.visible_max = committed.empty() ? 0 : committed.back();
  return view;
}

}  // namespace

GoldenCheckpoint::GoldenCheckpoint(const std::string& directory)
    : config_(golden_config(directory)), tensors_(directory + "/model.safetensors") {}

Weight GoldenCheckpoint::linear(BackendMemory& memory, const std::string& name) const {
  return memory.weight(tensors_.linear(name));
}

Vector GoldenCheckpoint::vector(BackendMemory& memory, const std::string& name) const {
  return memory.vector(tensors_.floats(name));
}

HyperConnectionWeights GoldenCheckpoint::hyper_connection(BackendMemory& memory,
                                                          const std::string& prefix) const {
  return {memory.weight(tensors_.matrix(prefix + "_fn")), vector(memory, prefix + "_base"),
          vector(memory, prefix + "_scale")};
}

CompressorWeights GoldenCheckpoint::compressor(BackendMemory& memory, const std::string& prefix) const {
  return {linear(memory, prefix + ".wkv"), linear(memory, prefix + ".wgate"), vector(memory, prefix + ".ape"),
          vector(memory, prefix + ".norm.weight")};
}

ExpertWeights GoldenCheckpoint::expert(BackendMemory& memory, const std::string& prefix) const {
  return {linear(memory, prefix + ".w1"), linear(memory, prefix + ".w3"), linear(memory, prefix + ".w2")};
}

BlockWeights GoldenCheckpoint::block(BackendMemory& memory, int layer) const {
  const std::string prefix = "layers." + std::to_string(layer) + ".";
  BlockWeights block;
  block.ratio = config_.compress_ratios.at(static_cast<size_t>(layer));
  block.hc_attn = hyper_connection(memory, prefix + "hc_attn");
  block.hc_ffn = hyper_connection(memory, prefix + "hc_ffn");
  block.attn_norm = vector(memory, prefix + "attn_norm.weight");
  block.ffn_norm = vector(memory, prefix + "ffn_norm.weight");
  AttentionWeights& attn = block.attn;
  attn.wq_a = linear(memory, prefix + "attn.wq_a");
  attn.q_norm = vector(memory, prefix + "attn.q_norm.weight");
  attn.wq_b = linear(memory, prefix + "attn.wq_b");
  attn.wkv = linear(memory, prefix + "attn.wkv");
  attn.kv_norm = vector(memory, prefix + "attn.kv_norm.weight");
  attn.wo_a = linear(memory, prefix + "attn.wo_a");
  attn.wo_b = linear(memory, prefix + "attn.wo_b");
  attn.sink = vector(memory, prefix + "attn.attn_sink");
  if (block.kind() != LayerKind::kSwa) attn.compressor = compressor(memory, prefix + "attn.compressor");
  if (block.kind() == LayerKind::kCsa) {
    attn.indexer.wq_b = linear(memory, prefix + "attn.indexer.wq_b");
    attn.indexer.weights_proj = linear(memory, prefix + "attn.indexer.weights_proj");
    attn.indexer.compressor = compressor(memory, prefix + "attn.indexer.compressor");
  }
  block.ffn.gate = linear(memory, prefix + "ffn.gate");
  if (layer < config_.num_hash_layers) {
    block.ffn.tid2eid = memory.ints(tensors_.ints(prefix + "ffn.gate.tid2eid"));
  } else {
    block.ffn.bias = vector(memory, prefix + "ffn.gate.bias");
  }
  for (int e = 0; e < config_.n_routed_experts; ++e) {
    block.ffn.experts.push_back(expert(memory, prefix + "ffn.experts." + std::to_string(e)));
  }
  block.ffn.shared = expert(memory, prefix + "ffn.shared_experts");
  return block;
}

CompressorRun run_compressor(BackendMemory& memory, const ModelConfig& config,
                             const CompressorWeights& weights, int ratio, int64_t head_dim, bool is_index_key,
                             Matrix x) {
  Backend& backend = memory.backend();
  const int64_t width = weights.wkv.rows;
  const int blocks = pooled_blocks(ratio);
  const Matrix k = memory.output(x.rows, width);
  const Matrix g = memory.output(x.rows, width);
  backend.linear(x, weights.wkv, k, LinearInput::kBF16, LinearOutput::kF32);
  backend.linear(x, weights.wgate, g, LinearInput::kBF16, LinearOutput::kF32);
  const auto slots = iota(x.rows);
  float* state = memory.output_floats(x.rows * 2 * width);
  backend.store_compressor_rows(k, g, weights.ape, memory.ints(slots), ratio, state, memory.ints(slots));

  CompressorRun run;
  run.count = x.rows / ratio;
  std::vector<int32_t> sources;
  std::vector<int32_t> positions;
  for (int32_t entry = 0; entry < run.count; ++entry) {
    positions.push_back(entry * ratio);
    for (int32_t s = (1 - blocks) * ratio; s < ratio; ++s) sources.push_back(std::max(entry * ratio + s, -1));
  }
  // For entry 0 the previous block is at negative positions, which all became -1.
  float* entries = memory.output_floats(run.count * head_dim);
  backend.compress(state, memory.ints(sources), run.count, ratio, head_dim, weights.norm,
                   memory.rotations(RopeTable::compressed(config), positions), is_index_key, entries,
                   memory.ints(iota(run.count)));
  run.entries = entries;
  run.values = memory.read(entries, run.count * head_dim);
  run.state = memory.read(state, x.rows * 2 * width);
  return run;
}

IndexerRun run_indexer(BackendMemory& memory, const ModelConfig& config, const IndexerWeights& weights,
                       Matrix low, Matrix x) {
  Backend& backend = memory.backend();
  const int64_t c = config.index_head_dim;
  const int heads = config.index_n_heads;
  const int top_k = config.index_topk;
  IndexerRun run;
  run.keys = run_compressor(memory, config, weights.compressor, 4, c, true, x);
  const Matrix q = memory.output(x.rows, heads * c);
  backend.linear(low, weights.wq_b, q, LinearInput::kQ8, LinearOutput::kBF16);
  backend.index_query(q, c, memory.rotations(RopeTable::compressed(config), iota(x.rows)));
  const Matrix head_weights = memory.output(x.rows, heads);
  backend.linear(x, weights.weights_proj, head_weights, LinearInput::kBF16, LinearOutput::kBF16);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c) * heads));
  const CompressedView view = causal_view(memory, x.rows, 4);
  Matrix scores = memory.matrix(std::vector<float>(static_cast<size_t>(x.rows * run.keys.count),
                                                   -std::numeric_limits<float>::infinity()),
                                run.keys.count);
  run.selected = memory.output_ints(x.rows * top_k);
  backend.index_select(q, head_weights, scale, run.keys.entries, c, view, top_k, run.selected, &scores);
  run.q = memory.read(q);
  run.weights = memory.read(head_weights);
  for (float& weight : run.weights) {
    weight *= scale;
    if (memory.official()) weight = round_bf16(weight);
  }
  run.scores = memory.read(scores);
  run.chosen = memory.read(run.selected, x.rows * top_k);
  return run;
}

AttentionRun run_attention(BackendMemory& memory, const ModelConfig& config, const BlockWeights& block,
                           Matrix x) {
  Backend& backend = memory.backend();
  const AttentionWeights& w = block.attn;
  const int64_t rows = x.rows;
  const int64_t c = config.head_dim;
  const int heads = config.num_attention_heads;
  const auto positions = iota(rows);
  const RopeTable table =
      block.kind() == LayerKind::kSwa ? RopeTable::plain(config) : RopeTable::compressed(config);
  const Rotations rotations = memory.rotations(table, positions);

  const Matrix low = memory.output(rows, config.q_lora_rank);
  backend.linear(x, w.wq_a, low, LinearInput::kQ8, LinearOutput::kBF16);
  backend.rms_norm(low, w.q_norm, low);
  const Matrix q = memory.output(rows, heads * c);
  backend.linear(low, w.wq_b, q, LinearInput::kQ8, LinearOutput::kBF16);
  backend.query_norm_rope(q, c, 1, rotations);
  const Matrix kv = memory.output(rows, c);
  backend.linear(x, w.wkv, kv, LinearInput::kQ8, LinearOutput::kBF16);
  float* raw = memory.output_floats(rows * c);
  backend.store_kv(kv, w.kv_norm, rotations, raw, memory.ints(positions));

  AttentionRun run;
  run.q = memory.read(q);
  run.kv = memory.read(raw, rows * c);
  AttentionArgs args;
  args.q = q;
  args.raw = raw;
  std::vector<int32_t> window;
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t i = 0; i < config.sliding_window; ++i) {
      const int32_t first = std::max(r - config.sliding_window + 1, 0);
      window.push_back(first + i <= r ? first + i : -1);
    }
  }
  args.window = memory.ints(window);
  args.window_width = config.sliding_window;
  CompressedView view;
  if (block.kind() != LayerKind::kSwa) {
    run.compressor = run_compressor(memory, config, w.compressor, block.ratio, c, false, x);
    run.kv.insert(run.kv.end(), run.compressor.values.begin(), run.compressor.values.end());
    args.compressed = run.compressor.entries;
    view = causal_view(memory, rows, block.ratio);
    if (block.kind() == LayerKind::kCsa) {
      run.indexer = run_indexer(memory, config, w.indexer, low, x);
      args.selected = run.indexer.selected;
      args.selected_width = config.index_topk;
    } else {
      args.all_visible = &view;
    }
  }
  args.sink = w.sink;
  args.head_count = heads;
  args.head_dim = c;
  args.inverse = memory.no_rotation(config.qk_rope_head_dim, rows);
  args.out = memory.output(rows, heads * c);
  backend.attend(args);
  run.core = memory.read(args.out);
  args.inverse = rotations;
  backend.attend(args);

  const Matrix projected = memory.output(rows, w.wo_a.rows);
  backend.linear(args.out, w.wo_a, projected, LinearInput::kBF16, LinearOutput::kBF16, config.o_groups);
  const Matrix out = memory.output(rows, config.hidden_size);
  backend.shard_linear(projected, w.wo_b, projected_axis(config).unit, out, LinearInput::kQ8,
                       LinearOutput::kBF16);
  run.out = memory.read(out);
  return run;
}

MoeRun run_moe(BackendMemory& memory, const ModelConfig& config, const MoeWeights& weights,
               const std::vector<int32_t>& tokens, Matrix x) {
  const int k = config.num_experts_per_tok;
  int32_t* ids = memory.output_ints(x.rows * k);
  float* route_weights = memory.output_floats(x.rows * k);
  memory.backend().route(x, weights, memory.ints(tokens), k, config.routed_scaling_factor, ids,
                         route_weights);
  const Matrix y = memory.output(x.rows, config.hidden_size);
  memory.backend().moe(x, weights, ids, route_weights, k, config.swiglu_limit, y);
  return {memory.read(ids, x.rows * k), memory.read(route_weights, x.rows * k), memory.read(y)};
}

}  // namespace ft::test
