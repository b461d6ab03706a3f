#include "core/mtp.h"

#include "core/block.h"
#include "core/check.h"

namespace ft {

MtpBlock::MtpBlock(Backend& backend, const Checkpoint& checkpoint, int index, const CacheLimits& limits)
    : backend_(backend),
      config_(checkpoint.config()),
      embed_(checkpoint.weights().embed),
      weights_(checkpoint.weights().mtp.at(static_cast<size_t>(index))),
      cache_(backend, config_, {weights_.block.ratio}, limits),
      activations_(backend, config_, limits.rows),
      head_(backend, config_, checkpoint.weights().head, limits.rows) {
  const int64_t count = limits.rows * config_.hc_mult;
  normed_memory_ = backend.allocate(static_cast<size_t>(count * config_.hidden_size) * sizeof(float));
  normed_ = Matrix(normed_memory_.f32(), count, config_.hidden_size);
}

// activations.streams = what enters the block.
void MtpBlock::start(const StepPlan& plan, Matrix streams) {
  Activations& a = activations_;
  a.set_rows(plan.rows);
  const int64_t n = config_.hc_mult;
  const int64_t d = config_.hidden_size;
  // E = e_proj(norm(embed)) once per row, R = h_proj(norm(X)) per stream; their sum starts the block.
  backend_.gather_rows(plan.tokens, embed_, a.input);
  backend_.rms_norm(a.input, weights_.enorm, a.input);
  backend_.linear(a.input, weights_.e_proj, a.output, LinearInput::kQ8, LinearOutput::kBF16);
  normed_.rows = plan.rows * n;
  backend_.rms_norm(Matrix(streams.data, plan.rows * n, d), weights_.hnorm, normed_);
  backend_.linear(normed_, weights_.h_proj, Matrix(a.streams.data, plan.rows * n, d), LinearInput::kQ8,
                  LinearOutput::kBF16);
  backend_.combine_streams(a.output, a.streams, a.streams);
}

Matrix MtpBlock::forward(const StepPlan& plan, Matrix streams) {
  start(plan, streams);
  run_block(LayerScope{backend_, config_, activations_, plan}, weights_.block, cache_.layer(0));
  return activations_.streams;
}

void MtpBlock::append(const StepPlan& plan, Matrix streams) {
  FT_CHECK(weights_.block.kind() == LayerKind::kSwa, weights_.block.ratio);
  start(plan, streams);
  Activations& a = activations_;
  const AttentionWeights& attention = weights_.block.attn;
  backend_.hc_pre(a.streams, weights_.block.hc_attn, weights_.block.attn_norm, a.input, a.post, a.comb);
  backend_.linear(a.input, attention.wkv, a.kv, LinearInput::kQ8, LinearOutput::kBF16);
  backend_.store_kv(a.kv, attention.kv_norm, plan.plain, cache_.layer(0).raw, plan.raw_dst);
}

std::span<const float> MtpBlock::logits(Matrix streams) {
  head_.run(streams, weights_.head, weights_.norm);
  return head_.fetch();
}

}  // namespace ft
