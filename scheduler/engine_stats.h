// Counters of the engine, written by its thread and readable from any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "scheduler/request.h"

namespace ft::scheduler {

// Counters since the start and gauges of now, for /metrics and tests. Each value is exact; together they may
// be a step apart.
struct EngineStats {
  int64_t requests_running = 0;
  int64_t requests_waiting = 0;
  int64_t requests_finished = 0;  // stop or length
  int64_t requests_cancelled = 0;
  int64_t requests_failed = 0;
  int64_t prompt_tokens = 0;
  int64_t generation_tokens = 0;
  int64_t steps = 0;            // forward calls
  int64_t drafts = 0;           // request-steps that verified at least one draft row
  int64_t draft_tokens = 0;     // verified draft rows
  int64_t accepted_tokens = 0;  // of these, emitted
  std::array<int64_t, kReportDepth> accepted_at_depth{};
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;
  double cache_usage = 0.0;  // share of the token capacity that running requests have reserved
};

// The same values as atomics. One writer.
class SharedStats {
 public:
  // Publishes `stats`. The engine thread.
  void publish(const EngineStats& stats);
  EngineStats read() const;

 private:
  static constexpr size_t kIntegers = 11 + kReportDepth;
  std::array<std::atomic<int64_t>, kIntegers> integers_{};
  std::array<std::atomic<double>, 4> reals_{};
};

}  // namespace ft::scheduler
