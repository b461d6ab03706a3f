// `foretoken-eval bench scheduler`: what the scheduler's own work costs per step, without a model.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace ft::eval {

struct BenchSchedulerOptions {
  int32_t requests = 64;
  int32_t candidates = 16;  // drafted nodes per request
  int64_t steps = 2000;     // timed, after as many as a tenth of them to warm up
  uint64_t seed = 1;
  std::string json;  // also written here when set
  // Allocations of the process so far; null: they are not counted.
  int64_t (*allocations)() = nullptr;
};

// Parts of a step, in order.
inline constexpr std::array<const char*, 4> kSchedulerParts = {"plan", "build", "select", "accept"};

struct BenchSchedulerResult {
  double p50_us = 0.0;  // of a step, all parts together
  double p99_us = 0.0;
  std::array<double, kSchedulerParts.size()> part_p50_us{};
  double allocations_per_step = -1.0;  // -1: not counted
  double kept_per_request = 0.0;       // drafted nodes that were selected
  double accepted_per_request = 0.0;
};

// Every step runs, for `requests` decoding requests:
//   plan    plan_batch, and DraftGate::decide over all requests
//   build   TreeBuilder, Calibration::correct and hope for every request
//   select  SpeculationPolicy::select with a V4-Flash-like cost model and expert layout
//   accept  verify::TokenTree of what was kept, the walk of the target's tokens through it, and what
//           Calibration and DraftGate learn from it
// The clock also runs while synthetic scores and targets are made, which is cheap but counts. Deterministic
// but for the times. kInvalidArgument for values below 1.
Result<BenchSchedulerResult> bench_scheduler(const BenchSchedulerOptions& options);

// {"us_per_step_p50", "us_per_step_p99", "allocations_per_step", "requests", "candidates", "steps", ...}
std::string bench_scheduler_json(const BenchSchedulerOptions& options, const BenchSchedulerResult& result);

// The whole command, with a table on `out`.
Result<void> run_bench_scheduler(const BenchSchedulerOptions& options, std::FILE* out);

}  // namespace ft::eval
