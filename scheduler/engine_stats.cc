#include "scheduler/engine_stats.h"

namespace ft::scheduler {

namespace {

// Lists every field once; `integer` and `real` get references in a fixed order.
template <class Stats, class Integer, class Real>
void visit_fields(Stats& stats, Integer integer, Real real) {
  integer(stats.requests_running);
  integer(stats.requests_waiting);
  integer(stats.requests_finished);
  integer(stats.requests_cancelled);
  integer(stats.requests_failed);
  integer(stats.engine_failed);
  integer(stats.prompt_tokens);
  integer(stats.generation_tokens);
  integer(stats.steps);
  integer(stats.drafts);
  integer(stats.draft_tokens);
  integer(stats.accepted_tokens);
  integer(stats.forced_tokens);
  integer(stats.decode_steps);
  for (auto& depth : stats.drafted_at_depth) integer(depth);
  for (auto& depth : stats.accepted_at_depth) integer(depth);
  for (auto& reason : stats.fallbacks) integer(reason);
  integer(stats.preemptions);
  integer(stats.prefix_queries);
  integer(stats.prefix_hits);
  integer(stats.prefix_states);
  integer(stats.prefix_bytes);
  integer(stats.canary_checks);
  integer(stats.canary_mismatches);
  real(stats.draft_seconds);
  real(stats.verify_seconds);
  real(stats.commit_seconds);
  real(stats.cache_usage);
  real(stats.expected_step_seconds);
  real(stats.observed_step_seconds);
  for (auto& depth : stats.reliability) {
    real(depth.ece);
    real(depth.brier);
    real(depth.auc);
  }
}

}  // namespace

void SharedStats::publish(const EngineStats& stats) {
  auto integer = integers_.begin();
  auto real = reals_.begin();
  visit_fields(
      stats, [&](int64_t value) { (integer++)->store(value, std::memory_order_relaxed); },
      [&](double value) { (real++)->store(value, std::memory_order_relaxed); });
}

EngineStats SharedStats::read() const {
  EngineStats stats;
  auto integer = integers_.begin();
  auto real = reals_.begin();
  visit_fields(
      stats, [&](int64_t& value) { value = (integer++)->load(std::memory_order_relaxed); },
      [&](double& value) { value = (real++)->load(std::memory_order_relaxed); });
  return stats;
}

}  // namespace ft::scheduler
