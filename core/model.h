// The main V4 model: tokens in, logits out, everything through staged rows
// of its cache (docs/spec/model.md section 3).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/activations.h"
#include "core/backend.h"
#include "core/kv_cache.h"
#include "core/weights.h"

namespace ft {

// Results of one forward call, valid until the next one.
struct ForwardOutput {
  std::span<const float> logits;  // host, [logit_rows.size(), V], in the order asked for
  // Backend memory, [rows, n*d]: after the last block, before any norm (what MTP reads).
  Matrix streams;
  // Auxiliary hidden states for a DSpark draft:
  // means over the streams after the layers target_layer_ids, side by side (docs/spec/dspark.md 1.1).
  // Backend memory, [rows, auxiliary_cols]; no rows where there is no draft.
  Matrix auxiliary;
  // Backend memory, [layers, limits.rows, K]: the routed experts of each row, ascending. Only the plan's rows
  // are written. Model::fetch_routing reads them.
  const int32_t* routing = nullptr;
};

// Turns streams into logits: head collapse, norm, head (docs/spec/model.md 3.10).
// Shared by the model and its drafts.
class LogitsHead {
 public:
  // Up to rows_max rows at a time. `head` is [V, d].
  LogitsHead(Backend& backend, const ModelConfig& config, const Weight& head, int64_t rows_max);

  // Rows of what follows.
  // run() sets them; a caller of run() inside a StepGraph sets them itself, since a replay does not.
  void set_rows(int64_t rows);
  // collapsed = hc_head(streams); logits = head . rms_norm(collapsed; norm). Leaves both in backend memory.
  void run(Matrix streams, const HeadCollapseWeights& collapse, Vector norm);
  Matrix collapsed() const { return collapsed_; }  // [rows, d], before the norm
  Matrix logits() const { return logits_; }        // [rows, V]
  // The logits of the last run on the host, [rows, V]; valid until the next fetch.
  std::span<const float> fetch();

 private:
  Backend& backend_;
  const Weight& head_;
  int64_t rows_max_;
  Buffer memory_;
  Matrix collapsed_;
  Matrix normed_;
  Matrix logits_;
  std::vector<float> host_;
};

class Model {
 public:
  // `checkpoint` must outlive the model. Calls backend.reserve.
  Model(Backend& backend, const Checkpoint& checkpoint, const CacheLimits& limits);

  // Runs the rows of `plan` (made by a transaction of cache())
  // and returns the logits of the plan rows `logit_rows`. `prompts`: rows of the plan that are long parts of prompts,
  // for Backend::set_prompt_rows, which lasts for the layers of this call.
  ForwardOutput forward(const StepPlan& plan, std::span<const int32_t> logit_rows,
                        std::span<const RowRange> prompts = {});

  // The experts that the last forward call chose for its first `rows` rows, on the host: [layers, rows, K],
  // ids ascending (docs/spec/model.md 3.9). Valid until the next call. Waits for the forward call.
  std::span<const int32_t> fetch_routing(int64_t rows);

  KvCache& cache() { return cache_; }
  const KvCache& cache() const { return cache_; }
  Backend& backend() { return backend_; }
  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }

 private:
  void run_layers(const StepPlan& plan, int64_t logit_count, std::span<const RowRange> prompts);
  // The recorded step of this shape.
  StepGraph& graph_of(int64_t rows, int64_t logit_count);

  Backend& backend_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  KvCache cache_;
  Activations activations_;
  LogitsHead head_;
  Buffer routing_memory_;  // [layers, limits.rows, K] int32
  std::vector<int32_t> host_routing_;
  Buffer auxiliary_memory_;
  Matrix auxiliary_;
  Buffer logit_streams_memory_;
  Matrix logit_streams_;  // streams of the rows whose logits are wanted
  Buffer logit_indices_;  // [2*rows] int32: source and destination rows
  std::vector<int32_t> host_indices_;
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<StepGraph>> graphs_;  // by (rows, logit rows)
};

}  // namespace ft
