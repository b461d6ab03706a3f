// The network of a DSpark draft: context keys from the target's auxiliary hidden states, and the
// block pass that turns an anchor into base logits for the next positions (docs/spec/dspark.md 1.1 to 1.5).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/activations.h"
#include "core/kv_cache.h"
#include "core/model.h"
#include "draft/row_copy.h"

namespace ft::draft {

// Where a block begins: the cache of `sequence` holds the positions before it.
struct BlockAnchor {
  SequenceId sequence = 0;  // of the network's own cache
  int32_t token = 0;
};

class DsparkNetwork {
 public:
  // Sees the streams [blocks*positions, n*d] (backend memory) that leave stage `stage`.
  using StageVisitor = std::function<void(int stage, Matrix streams)>;

  // Its cache has `limits`; one append takes up to limits.rows rows. Calls backend.reserve. `checkpoint` must
  // have a DSpark draft and outlive the network.
  DsparkNetwork(Backend& backend, const Checkpoint& checkpoint, const CacheLimits& limits);

  // Commits the context keys of `rows` (chains that continue their sequences, as for KvTransaction::stage;
  // their tokens do not matter). Row i has the auxiliary hidden states
  // auxiliary[auxiliary_rows[i], :] (backend memory, [*, auxiliary_cols]).
  void append(Matrix auxiliary, std::span<const int32_t> auxiliary_rows, std::span<const Row> rows);
  // What the keys of the last append were made of: norm(main_proj(auxiliary)), [rows, d], backend memory.
  Matrix context() const { return context_; }

  // Runs one block of [anchor, noise, ...], `positions` long, for each anchor (at most limits.sequences, of
  // distinct sequences) in one batch. Nothing stays in the cache. positions: up to positions_max().
  void draft(std::span<const BlockAnchor> anchors, int positions, const StageVisitor& visit = {});
  // Results of the last draft. Row j of block b predicts the token at the anchor's position + j + 1.
  // Base logits [V], without the Markov bias, on the host.
  std::span<const float> base_logits(size_t block, int position) const {
    const auto vocab = static_cast<size_t>(config_.vocab_size);
    return base_logits_.subspan(row_of(block, position) * vocab, vocab);
  }
  // w_h . h, the part of the raw confidence logit that comes from the collapsed hidden state.
  float hidden_confidence(size_t block, int position) const {
    return host_confidence_[row_of(block, position)];
  }
  // Collapsed hidden states before the final norm, [blocks*positions, d], backend memory.
  Matrix collapsed() const { return head_.collapsed(); }

  // Positions of a block as the draft was trained (docs/spec/dspark.md 1.3).
  int block_size() const { return config_.dspark.block_size; }
  int positions_max() const { return config_.dspark.longest_block(); }
  const DsparkWeights& weights() const { return weights_; }
  KvCache& cache() { return cache_; }

 private:
  size_t row_of(size_t block, int position) const {
    return block * static_cast<size_t>(positions_) + static_cast<size_t>(position);
  }

  Backend& backend_;
  const ModelConfig& config_;
  const Weight& embed_;
  const DsparkWeights& weights_;
  Weight confidence_weight_;
  KvCache cache_;
  Activations activations_;
  LogitsHead head_;
  RowCopy copy_;
  Buffer memory_;
  Matrix auxiliary_;   // [rows, auxiliary_cols] gathered for one append
  Matrix context_;     // [rows, d]
  Matrix confidence_;  // [blocks*positions, 1]
  std::vector<Row> rows_;
  std::vector<int32_t> in_order_;
  int positions_ = 0;  // of the last draft
  std::vector<float> host_confidence_;
  std::span<const float> base_logits_;
};

}  // namespace ft::draft
