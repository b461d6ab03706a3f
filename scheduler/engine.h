// The engine: owns the model, its cache and the drafter, and runs the one loop in which everything is
// speculative.
//
//   inbox -> plan -> propose -> select -> forward -> verify -> commit -> observe -> apply -> publish
//
// One thread owns all model state. submit() and TokenStream are the only crossings.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/model.h"
#include "draft/drafter.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"

namespace ft::scheduler {

struct EngineOptions {
  int32_t max_sequences = 8;  // requests decoded at the same time
  int64_t context =
      0;  // tokens of one request, prompt and completion; 0 = the checkpoint's max_position_embeddings
  int64_t cache_tokens = 0;     // tokens of all running requests; 0 = max_sequences * context
  int32_t batch_rows = 256;     // rows of one forward call, prefill and trees together
  int32_t prefill_chunk = 128;  // prompt rows of one request per step, at most
  int32_t queue_max = 64;       // requests waiting for a slot
  draft::DrafterKind drafter = draft::DrafterKind::kAuto;
  int32_t tree_nodes = 8;  // rows verified per request and step, anchor included
  draft::TreeShape tree_shape = draft::TreeShape::kBestFirst;
};

// Counters since the start and gauges of now, for /metrics and tests. A copy taken at some step boundary.
struct EngineStats {
  int64_t requests_running = 0;
  int64_t requests_waiting = 0;
  int64_t requests_finished = 0;  // stop or length
  int64_t requests_cancelled = 0;
  int64_t requests_failed = 0;
  int64_t prompt_tokens = 0;
  int64_t generation_tokens = 0;
  int64_t steps = 0;
  int64_t drafts = 0;           // request-steps that verified at least one draft row
  int64_t draft_tokens = 0;     // verified draft rows
  int64_t accepted_tokens = 0;  // of these, emitted
  std::array<int64_t, kReportDepth> accepted_at_depth{};
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;
  double cache_usage = 0.0;  // share of cache_tokens that running requests have reserved
};

class Engine {
 public:
  // Builds the model and the drafter and starts the thread. `backend` and `checkpoint` must outlive the
  // engine.
  static Result<std::unique_ptr<Engine>> create(Backend& backend, const Checkpoint& checkpoint,
                                                const EngineOptions& options);
  // Cancels what is running, finishes every stream, joins the thread.
  ~Engine();

  // Hands a request over; tokens arrive on the returned stream. Any thread. Errors: kInvalidArgument (empty
  // prompt, token outside the vocabulary, max_tokens < 1, sampling values; the message names the field),
  // kTooLarge (prompt + max_tokens beyond the context), kOverloaded (queue full), kUnavailable (stopping).
  Result<std::shared_ptr<TokenStream>> submit(GenerateRequest request, std::function<void()> notify = {});

  EngineStats stats() const;
  const EngineOptions& options() const;  // with every default filled in
  std::string_view drafter_name() const;

 private:
  class Loop;
  explicit Engine(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace ft::scheduler
