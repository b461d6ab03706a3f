// The multi-token prediction block:
// from the streams at position t and the token at t+1, logits of t+2 (docs/spec/model.md 3.11).
#pragma once

#include "core/activations.h"
#include "core/kv_cache.h"
#include "core/model.h"

namespace ft {

class MtpBlock {
 public:
  // Block `index` of the checkpoint's MTP blocks, with a cache of its own (one window layer) under `limits`.
  // Uses the backend that `reserve` was called on for at least limits.rows rows.
  MtpBlock(Backend& backend, const Checkpoint& checkpoint, int index, const CacheLimits& limits);

  // Runs the rows of `plan` (made by a transaction of cache()): plan tokens are the tokens at t+1,
  // `streams[i, :]` ([rows, n*d], not this object's) the streams at t of row i, positions are t. Returns the
  // block's output streams, which feed a further step.
  Matrix forward(const StepPlan& plan, Matrix streams);

  // Stages the window keys of the rows and nothing else: the same bits that forward() stages for them, for
  // rows whose output nobody asks for. Only for a block without a compressor (kSwa).
  void append(const StepPlan& plan, Matrix streams);

  // Logits of the given output streams ([rows, n*d], rows <= limits.rows), on the host;
  // valid until the next call.
  std::span<const float> logits(Matrix streams);

  KvCache& cache() { return cache_; }

 private:
  void start(const StepPlan& plan, Matrix streams);

  Backend& backend_;
  const ModelConfig& config_;
  const Weight& embed_;
  const MtpWeights& weights_;
  KvCache cache_;
  Activations activations_;
  LogitsHead head_;
  Buffer normed_memory_;
  Matrix normed_;  // [rows*n, d] normed streams
};

}  // namespace ft
