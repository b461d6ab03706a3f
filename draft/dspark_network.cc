#include "draft/dspark_network.h"

#include <algorithm>
#include <numeric>

#include "core/block.h"
#include "core/check.h"
#include "draft/markov_head.h"

namespace ft::draft {

namespace {

// An append and a block pass share the staged rows of the cache and the activations.
CacheLimits with_block_rows(CacheLimits limits, const ModelConfig& config) {
  limits.rows = std::max(limits.rows, limits.sequences * config.dspark.longest_block());
  return limits;
}

const DsparkWeights& draft_of(const Checkpoint& checkpoint) {
  FT_CHECK(checkpoint.weights().dspark != nullptr);
  return *checkpoint.weights().dspark;
}

Backend& reserved(Backend& backend, const ModelConfig& config, int64_t rows) {
  backend.reserve(config, rows);
  return backend;
}

}  // namespace

DsparkNetwork::DsparkNetwork(Backend& backend, const Checkpoint& checkpoint, const CacheLimits& limits)
    : backend_(reserved(backend, checkpoint.config(), with_block_rows(limits, checkpoint.config()).rows)),
      config_(checkpoint.config()),
      embed_(checkpoint.weights().embed),
      weights_(draft_of(checkpoint)),
      confidence_weight_(draft::hidden_confidence(weights_)),
      cache_(backend, config_, std::vector<int>(weights_.stages.size(), 0), with_block_rows(limits, config_)),
      activations_(backend, config_, cache_.limits().rows),
      head_(backend, config_, checkpoint.weights().head, limits.sequences * positions_max()),
      copy_(backend, cache_.limits().rows) {
  const int64_t rows = cache_.limits().rows;
  const int64_t d = config_.hidden_size;
  const int64_t auxiliary_cols = weights_.main_proj.cols;
  memory_ = backend.allocate(static_cast<size_t>(rows * (auxiliary_cols + d + 1)) * sizeof(float));
  auxiliary_ = Matrix(memory_.f32(), 0, auxiliary_cols);
  context_ = Matrix(auxiliary_.data + rows * auxiliary_cols, 0, d);
  confidence_ = Matrix(context_.data + rows * d, 0, 1);
  rows_.reserve(static_cast<size_t>(rows));
  in_order_.resize(static_cast<size_t>(rows));
  std::iota(in_order_.begin(), in_order_.end(), 0);
  host_confidence_.resize(static_cast<size_t>(rows));
}

void DsparkNetwork::append(Matrix auxiliary, std::span<const int32_t> auxiliary_rows,
                           std::span<const Row> rows) {
  FT_CHECK(auxiliary_rows.size() == rows.size() && auxiliary.cols == auxiliary_.cols, auxiliary_rows.size(),
           rows.size(), auxiliary.cols);
  if (rows.empty()) return;
  KvTransaction transaction = cache_.begin();
  const StepPlan& plan = transaction.stage(rows);
  Activations& a = activations_;
  a.set_rows(plan.rows);
  auxiliary_.rows = context_.rows = plan.rows;
  copy_.gather(auxiliary_, auxiliary, auxiliary_rows);
  backend_.linear(auxiliary_, weights_.main_proj, context_, LinearInput::kQ8, LinearOutput::kBF16);
  backend_.rms_norm(context_, weights_.main_norm, context_);
  // Every stage projects the same context with its own weights (dspark.md 1.2).
  for (size_t stage = 0; stage < weights_.stages.size(); ++stage) {
    const AttentionWeights& attention = weights_.stages[stage].attn;
    backend_.linear(context_, attention.wkv, a.kv, LinearInput::kQ8, LinearOutput::kBF16);
    backend_.store_kv(a.kv, attention.kv_norm, plan.plain, cache_.layer(static_cast<int>(stage)).raw,
                      plan.raw_dst);
  }
  std::move(transaction).commit(std::span(in_order_).first(rows.size()));
}

void DsparkNetwork::draft(std::span<const BlockAnchor> anchors, int positions, const StageVisitor& visit) {
  FT_CHECK(positions >= 1 && positions <= positions_max(), positions, positions_max());
  positions_ = positions;
  rows_.clear();
  for (const BlockAnchor& anchor : anchors) {
    const auto first = static_cast<int32_t>(cache_.length(anchor.sequence));
    for (int32_t j = 0; j < positions; ++j) {
      const int32_t parent = j == 0 ? kCommitted : static_cast<int32_t>(rows_.size()) - 1;
      rows_.push_back(
          {j == 0 ? anchor.token : config_.dspark.noise_token_id, first + j, anchor.sequence, parent});
    }
  }
  KvTransaction transaction = cache_.begin();
  const StepPlan& plan = transaction.stage(rows_, Visibility::kBlock);
  activations_.set_rows(plan.rows);
  const LayerScope scope{backend_, config_, activations_, plan};
  backend_.embed(plan.tokens, embed_, config_.hc_mult, activations_.streams);
  BlockChain blocks(scope);
  for (size_t stage = 0; stage < weights_.stages.size(); ++stage) {
    blocks.run(weights_.stages[stage], cache_.layer(static_cast<int>(stage)));
    if (visit) visit(static_cast<int>(stage), blocks.streams());
  }
  head_.run(blocks.streams(), weights_.head, weights_.norm);
  confidence_.rows = plan.rows;
  backend_.linear(head_.collapsed(), confidence_weight_, confidence_, LinearInput::kAsIs, LinearOutput::kF32);
  base_logits_ = head_.fetch();
  backend_.download(host_confidence_.data(), confidence_.data, rows_.size() * sizeof(float));
}

}  // namespace ft::draft
