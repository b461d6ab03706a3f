// Counters of the engine, written by its thread and readable from any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "scheduler/request.h"
#include "scheduler/speculation/acceptance_model.h"

namespace ft::scheduler {

// Counters since the start and gauges of now, for /metrics and tests. Each value is exact; together they may
// be a step apart.
struct EngineStats {
  int64_t requests_running = 0;
  int64_t requests_waiting = 0;
  int64_t requests_finished = 0;  // stop or length
  int64_t requests_cancelled = 0;
  int64_t requests_failed = 0;
  int64_t engine_failed = 0;  // 1: an exception has left the engine unusable, and every request is refused
  int64_t prompt_tokens = 0;
  int64_t generation_tokens = 0;
  int64_t steps = 0;                                     // forward calls
  int64_t drafts = 0;                                    // request-steps that verified at least one draft row
  int64_t draft_tokens = 0;                              // verified draft rows
  int64_t accepted_tokens = 0;                           // of these, emitted
  int64_t forced_tokens = 0;                             // of these, forced by a constraint
  int64_t decode_steps = 0;                              // request-steps, with or without drafts
  std::array<int64_t, kReportDepth> drafted_at_depth{};  // request-steps that verified a node at depth d + 1
  std::array<int64_t, kReportDepth> accepted_at_depth{};  // ... that accepted one
  std::array<int64_t, kFallbacks> fallbacks{};            // request-steps without drafts, by reason
  int64_t preemptions = 0;
  int64_t prefix_queries = 0;  // prompt tokens that were looked up
  int64_t prefix_hits = 0;     // of these, found
  int64_t prefix_states = 0;   // states that are kept now
  int64_t prefix_bytes = 0;    // their memory
  int64_t canary_checks = 0;   // rows that were computed again
  int64_t canary_mismatches = 0;
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;
  double cache_usage = 0.0;  // share of the token capacity that running requests fill
  double expected_step_seconds =
      0.0;  // sum of what the cost model said of the steps whose cost it learns from
  double observed_step_seconds = 0.0;  // sum of what these took

  // How well path probabilities were predicted, by depth, at the temperature that was drafted for most.
  struct Reliability {
    double ece = 0.0;
    double brier = 0.0;
    double auc = 0.5;
  };
  std::array<Reliability, AcceptanceModel::kDepths> reliability{};
};

// The same values as atomics. One writer.
class SharedStats {
 public:
  // Publishes `stats`. The engine thread.
  void publish(const EngineStats& stats);
  EngineStats read() const;

 private:
  static constexpr size_t kIntegers = 21 + 2 * kReportDepth + kFallbacks;
  static constexpr size_t kReals = 6 + 3 * AcceptanceModel::kDepths;
  std::array<std::atomic<int64_t>, kIntegers> integers_{};
  std::array<std::atomic<double>, kReals> reals_{};
};

}  // namespace ft::scheduler
