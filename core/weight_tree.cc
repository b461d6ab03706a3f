// The one place that names the tensors of a checkpoint.
#include "core/shards.h"
#include "core/weights.h"

namespace ft {
namespace {

constexpr int64_t kHyperScales = 3;  // pre, post, comb

class TreeWalk {
 public:
  TreeWalk(const ModelConfig& config, WeightVisitor& visitor) : config_(config), visitor_(visitor) {}

  void norm(const std::string& name, Vector& weight, int64_t size) {
    visitor_.vector(name + ".weight", weight, {size}, DType::kBF16);
  }

  void head_collapse(const std::string& prefix, HeadCollapseWeights& head) {
    const int64_t streams = config_.hc_mult;
    visitor_.matrix(prefix + "hc_head_fn", head.fn, streams, streams * config_.hidden_size);
    visitor_.vector(prefix + "hc_head_base", head.base, {streams}, DType::kF32);
    visitor_.vector(prefix + "hc_head_scale", head.scale, {1}, DType::kF32);
  }

  // `prefix` ends with a dot: "layers.3." or "mtp.0.".
  void block(const std::string& prefix, BlockWeights& block, int ratio, bool hash_routed) {
    block.ratio = ratio;
    hyper_connection(prefix + "hc_attn", block.hc_attn);
    norm(prefix + "attn_norm", block.attn_norm, config_.hidden_size);
    attention(prefix + "attn.", block.attn, ratio);
    hyper_connection(prefix + "hc_ffn", block.hc_ffn);
    norm(prefix + "ffn_norm", block.ffn_norm, config_.hidden_size);
    moe(prefix + "ffn.", block.ffn, hash_routed);
  }

  void mtp(const std::string& prefix, MtpWeights& mtp) {
    const int64_t width = config_.hidden_size;
    visitor_.linear(prefix + "e_proj", mtp.e_proj, width, width, WeightFormat::kFp8Block);
    visitor_.linear(prefix + "h_proj", mtp.h_proj, width, width, WeightFormat::kFp8Block);
    norm(prefix + "enorm", mtp.enorm, width);
    norm(prefix + "hnorm", mtp.hnorm, width);
    block(prefix, mtp.block, 0, false);
    norm(prefix + "norm", mtp.norm, width);
    head_collapse(prefix, mtp.head);
  }

  void dspark(DsparkWeights& draft) {
    const int64_t width = config_.hidden_size;
    const int64_t rank = config_.dspark.markov_rank;
    const std::string last = fmt::format("mtp.{}.", config_.dspark.stage_count - 1);
    visitor_.linear("mtp.0.main_proj", draft.main_proj, width, config_.auxiliary_cols(),
                    WeightFormat::kFp8Block);
    norm("mtp.0.main_norm", draft.main_norm, width);
    draft.stages.resize(static_cast<size_t>(config_.dspark.stage_count));
    for (size_t i = 0; i < draft.stages.size(); ++i)
      block(fmt::format("mtp.{}.", i), draft.stages[i], 0, false);
    norm(last + "norm", draft.norm, width);
    head_collapse(last, draft.head);
    visitor_.linear(last + "markov_head.markov_w1", draft.markov_w1, config_.vocab_size, rank,
                    WeightFormat::kBF16);
    visitor_.linear(last + "markov_head.markov_w2", draft.markov_w2, config_.vocab_size, rank,
                    WeightFormat::kBF16);
    visitor_.linear(last + "confidence_head.proj", draft.confidence, 1, width + rank, WeightFormat::kBF16);
  }

 private:
  void hyper_connection(const std::string& prefix, HyperConnectionWeights& hc) {
    const int64_t mixes = config_.hc_mix_size();
    visitor_.matrix(prefix + "_fn", hc.fn, mixes, config_.hc_mult * config_.hidden_size);
    visitor_.vector(prefix + "_base", hc.base, {mixes}, DType::kF32);
    visitor_.vector(prefix + "_scale", hc.scale, {kHyperScales}, DType::kF32);
  }

  void compressor(const std::string& prefix, CompressorWeights& compressor, int ratio, int64_t head_dim) {
    const int64_t width = pooled_blocks(ratio) * head_dim;
    visitor_.vector(prefix + "ape", compressor.ape, {ratio, width}, DType::kF32);
    visitor_.linear(prefix + "wkv", compressor.wkv, width, config_.hidden_size, WeightFormat::kBF16);
    visitor_.linear(prefix + "wgate", compressor.wgate, width, config_.hidden_size, WeightFormat::kBF16);
    norm(prefix + "norm", compressor.norm, head_dim);
  }

  void attention(const std::string& prefix, AttentionWeights& attn, int ratio) {
    const int64_t width = config_.hidden_size;
    const int64_t head_dim = config_.head_dim;
    const int64_t queries = config_.num_attention_heads * head_dim;
    const int64_t latent = config_.o_groups * config_.o_lora_rank;
    constexpr auto kFp8 = WeightFormat::kFp8Block;
    visitor_.vector(prefix + "attn_sink", attn.sink, {config_.num_attention_heads}, DType::kF32);
    visitor_.linear(prefix + "wq_a", attn.wq_a, config_.q_lora_rank, width, kFp8);
    norm(prefix + "q_norm", attn.q_norm, config_.q_lora_rank);
    visitor_.sharded_linear(prefix + "wq_b", attn.wq_b, queries, config_.q_lora_rank, kFp8, ShardSide::kRows,
                            query_axis(config_).unit);
    visitor_.linear(prefix + "wkv", attn.wkv, head_dim, width, kFp8);
    norm(prefix + "kv_norm", attn.kv_norm, head_dim);
    const int64_t latent_unit = projected_axis(config_).unit;
    visitor_.sharded_linear(prefix + "wo_a", attn.wo_a, latent, queries / config_.o_groups, kFp8,
                            ShardSide::kRows, latent_unit);
    visitor_.sharded_linear(prefix + "wo_b", attn.wo_b, width, latent, kFp8, ShardSide::kCols, latent_unit);
    if (layer_kind(ratio) == LayerKind::kSwa) return;
    compressor(prefix + "compressor.", attn.compressor, ratio, head_dim);
    if (layer_kind(ratio) != LayerKind::kCsa) return;
    const int64_t index_queries = config_.index_n_heads * config_.index_head_dim;
    visitor_.linear(prefix + "indexer.wq_b", attn.indexer.wq_b, index_queries, config_.q_lora_rank, kFp8);
    visitor_.linear(prefix + "indexer.weights_proj", attn.indexer.weights_proj, config_.index_n_heads, width,
                    WeightFormat::kBF16);
    compressor(prefix + "indexer.compressor.", attn.indexer.compressor, ratio, config_.index_head_dim);
  }

  void expert(const std::string& prefix, ExpertWeights& expert, WeightFormat format) {
    const int64_t width = config_.hidden_size;
    const int64_t inner = config_.moe_intermediate_size;
    const int64_t unit = expert_axis(inner).unit;
    visitor_.sharded_linear(prefix + "w1", expert.w1, inner, width, format, ShardSide::kRows, unit);
    visitor_.sharded_linear(prefix + "w2", expert.w2, width, inner, format, ShardSide::kCols, unit);
    visitor_.sharded_linear(prefix + "w3", expert.w3, inner, width, format, ShardSide::kRows, unit);
  }

  void moe(const std::string& prefix, MoeWeights& moe, bool hash_routed) {
    const int experts = config_.n_routed_experts;
    visitor_.linear(prefix + "gate", moe.gate, experts, config_.hidden_size, WeightFormat::kBF16);
    if (hash_routed) {
      visitor_.table(prefix + "gate.tid2eid", moe.tid2eid, moe.host_tid2eid, config_.vocab_size,
                     config_.num_experts_per_tok, experts);
    } else {
      visitor_.vector(prefix + "gate.bias", moe.bias, {experts}, DType::kF32);
    }
    moe.experts.resize(static_cast<size_t>(experts));
    const WeightFormat format = config_.experts_fp4 ? WeightFormat::kFp4Row : WeightFormat::kFp8Block;
    for (int e = 0; e < experts; ++e) expert(fmt::format("{}experts.{}.", prefix, e), moe.experts[e], format);
    expert(prefix + "shared_experts.", moe.shared, WeightFormat::kFp8Block);
  }

  const ModelConfig& config_;
  WeightVisitor& visitor_;
};

class SizeCount : public WeightVisitor {
 public:
  void linear(const std::string&, Weight& weight, int64_t rows, int64_t cols, WeightFormat format) override {
    weight.format = format;
    weight.rows = rows;
    weight.cols = cols;
    add(weight.data_bytes());
    if (weight.scale_bytes() > 0) add(weight.scale_bytes());
  }
  void vector(const std::string&, Vector&, std::vector<int64_t> shape, DType stored) override {
    int64_t bytes = byte_size(stored);
    for (int64_t extent : shape) bytes *= extent;
    add(bytes);
  }
  void matrix(const std::string&, Weight&, int64_t rows, int64_t cols) override {
    add(rows * cols * byte_size(DType::kF32));
  }
  void table(const std::string&, const int32_t*&, const int32_t*&, int64_t rows, int64_t cols,
             int64_t) override {
    add(rows * cols * byte_size(DType::kI64));
  }

  CheckpointSize size;

 private:
  void add(int64_t bytes) {
    ++size.tensors;
    size.bytes += bytes;
  }
};

// Of one rank: what it shares counts as `share`, the rest as `size`.
class ShareCount final : public SizeCount {
 public:
  explicit ShareCount(const RankGroup& ranks) : ranks_(ranks) {}

  void sharded_linear(const std::string&, Weight& weight, int64_t rows, int64_t cols, WeightFormat format,
                      ShardSide side, int64_t unit) override {
    weight = own_shape(rows, cols, format, side, unit, ranks_);
    const int64_t bytes = weight.data_bytes() + weight.scale_bytes();
    share.sharded += bytes;
    if (weight.cols < cols) share.copied += bytes;
  }

  RankShare share;

 private:
  RankGroup ranks_;
};

}  // namespace

Weight own_shape(int64_t rows, int64_t cols, WeightFormat format, ShardSide side, int64_t unit,
                 const RankGroup& ranks) {
  Weight own;
  own.format = format;
  own.rows = rows;
  own.cols = cols;
  if (ranks.size == 1) return own;
  const bool by_rows = side == ShardSide::kRows;
  const ShardRange range = ShardedAxis{by_rows ? rows : cols, unit}.of(ranks);
  (by_rows ? own.rows : own.cols) = range.size();
  (by_rows ? own.first_row : own.first_col) = range.begin;
  own.whole_rows = rows;
  own.whole_cols = cols;
  return own;
}

void visit_model(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor) {
  TreeWalk walk(config, visitor);
  visitor.linear("embed", weights.embed, config.vocab_size, config.hidden_size, WeightFormat::kBF16);
  weights.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    walk.block(fmt::format("layers.{}.", i), weights.layers[i], config.compress_ratios[i],
               i < config.num_hash_layers);
  }
  walk.norm("norm", weights.norm, config.hidden_size);
  walk.head_collapse("", weights.head_collapse);
  visitor.sharded_linear("head", weights.head, config.vocab_size, config.hidden_size, WeightFormat::kBF16,
                         ShardSide::kRows, vocabulary_axis(config.vocab_size).unit);
}

void visit_drafts(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor) {
  TreeWalk walk(config, visitor);
  weights.mtp.resize(static_cast<size_t>(config.num_nextn_predict_layers));
  for (size_t i = 0; i < weights.mtp.size(); ++i) walk.mtp(fmt::format("mtp.{}.", i), weights.mtp[i]);
  if (config.has_dspark()) {
    if (weights.dspark == nullptr) weights.dspark = std::make_unique<DsparkWeights>();
    walk.dspark(*weights.dspark);
  }
}

void visit_weights(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor) {
  visit_model(config, weights, visitor);
  visit_drafts(config, weights, visitor);
}

CheckpointSize checkpoint_size(const ModelConfig& config) {
  ModelWeights tree;
  SizeCount count;
  visit_weights(config, tree, count);
  return count.size;
}

RankShare rank_share(const ModelConfig& config, const RankGroup& ranks) {
  ModelWeights tree;
  ShareCount count(ranks);
  visit_weights(config, tree, count);
  count.share.replicated = count.size.bytes;
  return count.share;
}

}  // namespace ft
