// `foretoken-eval bench scheduler`: what the scheduler's own work costs per step, without a model.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"
#include "eval/report.h"

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

// Turns the scheduler of an engine with `requests` decoding requests, over a SyntheticExecutor. The parts of a step:
//   plan    Scheduler::plan: admission, room, rows, the draft gate, what is asked of the drafter
//   build   the trees of the drafts (TreeBuilder), which a drafter grows beside its network
//   select  Scheduler::select: estimates, the selection of nodes, the verify trees and rows
//   accept  Scheduler::apply: what is learned, counted and handed to the streams
// What the executor invents is not timed. Deterministic but for the times. kInvalidArgument for values below 1.
Result<BenchSchedulerResult> bench_scheduler(const BenchSchedulerOptions& options);

// {"us_per_step_p50", "us_per_step_p99", "allocations_per_step", "requests", "candidates", "steps", ...}
Report bench_scheduler_report(const BenchSchedulerOptions& options, const BenchSchedulerResult& result);

// The whole command, with a table on `out`.
Result<void> run_bench_scheduler(const BenchSchedulerOptions& options, std::FILE* out);

}  // namespace ft::eval
