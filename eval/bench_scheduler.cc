#include "eval/bench_scheduler.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "eval/statistics.h"
#include "eval/synthetic_executor.h"
#include "scheduler/scheduler.h"

namespace ft::eval {

namespace {

using Clock = std::chrono::steady_clock;
using Parts = std::array<double, kSchedulerParts.size()>;

double microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

// The scheduler of an engine, over an executor that invents everything else.
class Bench {
 public:
  Bench(const BenchSchedulerOptions& options, int64_t steps)
      : executor_(options.requests, options.seed),
        scheduler_(engine_options(options, steps), executor_.info(), executor_.sequences()) {
    executor_.measure(scheduler_.speculation().costs());
    for (int32_t i = 0; i < options.requests; ++i) submit(i, steps);
  }

  // The microseconds of the parts.
  Parts step() {
    const auto start = Clock::now();
    scheduler_.plan(now_);
    const auto planned = Clock::now();
    const double draft_seconds = executor_.propose(scheduler_.draft_batch());
    const auto drafted = Clock::now();
    const scheduler::StepBatch& batch = scheduler_.select(draft_seconds);
    const auto selected = Clock::now();
    const scheduler::StepOutcome& outcome = executor_.step(batch);
    now_ += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(draft_seconds + outcome.verify_seconds));
    const auto ran = Clock::now();
    scheduler_.apply(outcome, now_);
    const auto applied = Clock::now();
    for (const auto& stream : streams_)
      for (scheduler::TokenEvent event; stream->pop(event);) {
      }
    return {microseconds(planned - start), executor_.build_us(), microseconds(selected - drafted),
            microseconds(applied - ran)};
  }

  const scheduler::EngineStats& stats() const { return scheduler_.stats(); }

 private:
  // Tokens that a request can emit in all steps.
  static int64_t tokens_max(int64_t steps) { return (steps + 2) * (SyntheticDrafts::kDepth + 1); }

  static scheduler::EngineOptions engine_options(const BenchSchedulerOptions& options, int64_t steps) {
    scheduler::EngineOptions engine;
    engine.max_sequences = options.requests;
    engine.context = tokens_max(steps) + 1;
    engine.cache_tokens = engine.context * options.requests;
    engine.batch_rows = options.requests * (options.candidates + 1);
    engine.tree_nodes_max = options.candidates + 1;
    engine.prefix_cache_bytes = 0;
    return engine;
  }

  void submit(int32_t number, int64_t steps) {
    auto state = std::make_unique<scheduler::RequestState>();
    state->request.prompt = {number};
    state->request.max_tokens = tokens_max(steps);
    state->request.sampling.temperature = number % 2 == 0 ? 1.0 : 0.0;
    state->stream = std::make_shared<scheduler::TokenStream>(state->request.max_tokens, nullptr);
    state->submitted = now_;
    streams_.push_back(state->stream);
    scheduler_.enqueue(std::move(state));
  }

  SyntheticExecutor executor_;
  scheduler::Scheduler scheduler_;
  std::vector<std::shared_ptr<scheduler::TokenStream>> streams_;
  Clock::time_point now_{};  // virtual
};

}  // namespace

Result<BenchSchedulerResult> bench_scheduler(const BenchSchedulerOptions& options) {
  if (options.requests < 1 || options.candidates < 1 || options.steps < 1)
    return fail(ErrorCode::kInvalidArgument,
                "requests {}, candidates {}, steps {}: expected at least 1 of each", options.requests,
                options.candidates, options.steps);
  const int64_t warm_up = options.steps / 10 + 50;
  Bench bench(options, warm_up + options.steps);
  std::vector<Parts> parts;
  parts.reserve(static_cast<size_t>(options.steps));
  for (int64_t step = 0; step < warm_up; ++step) bench.step();
  const scheduler::EngineStats before = bench.stats();
  const int64_t allocated_before = options.allocations == nullptr ? 0 : options.allocations();
  for (int64_t step = 0; step < options.steps; ++step) parts.push_back(bench.step());
  const int64_t allocated = options.allocations == nullptr ? 0 : options.allocations() - allocated_before;

  BenchSchedulerResult result;
  const auto steps = static_cast<double>(options.steps);
  if (options.allocations != nullptr) result.allocations_per_step = static_cast<double>(allocated) / steps;
  const auto per_request = [&](int64_t count) {
    return static_cast<double>(count) / steps / options.requests;
  };
  result.kept_per_request = per_request(bench.stats().draft_tokens - before.draft_tokens);
  result.accepted_per_request = per_request(bench.stats().accepted_tokens - before.accepted_tokens);
  std::vector<double> totals;
  for (const Parts& step : parts) {
    double total = 0.0;
    for (double part : step) total += part;
    totals.push_back(total);
  }
  result.p50_us = percentile(totals, 0.5);
  result.p99_us = percentile(totals, 0.99);
  for (size_t part = 0; part < kSchedulerParts.size(); ++part) {
    std::vector<double> values;
    for (const Parts& step : parts) values.push_back(step[part]);
    result.part_p50_us[part] = percentile(values, 0.5);
  }
  return result;
}

Report bench_scheduler_report(const BenchSchedulerOptions& options, const BenchSchedulerResult& result) {
  Report report;
  const bool counted = result.allocations_per_step >= 0.0;
  report.fact("us_per_step_p50", result.p50_us);
  report.fact("us_per_step_p99", result.p99_us);
  report.fact("allocations_per_step", counted ? Report::Json(result.allocations_per_step) : Report::Json());
  report.fact("requests", options.requests);
  report.fact("candidates", options.candidates);
  report.fact("steps", options.steps);
  report.fact("kept_per_request", result.kept_per_request);
  report.fact("accepted_per_request", result.accepted_per_request);
  report.say(
      fmt::format("{} requests, {} candidates each, {} steps: {:.1f} us per step (p50), {:.1f} us (p99)",
                  options.requests, options.candidates, options.steps, result.p50_us, result.p99_us));
  Report::Json parts;
  for (size_t part = 0; part < kSchedulerParts.size(); ++part) {
    parts[kSchedulerParts[part]] = result.part_p50_us[part];
    report.say(fmt::format("  {:<8} {:>8.1f} us", kSchedulerParts[part], result.part_p50_us[part]));
  }
  report.fact("parts_us_p50", std::move(parts));
  if (counted) report.say(fmt::format("allocations per step: {:.3f}", result.allocations_per_step));
  report.say(fmt::format("per request and step: {:.2f} nodes kept, {:.2f} accepted", result.kept_per_request,
                         result.accepted_per_request));
  return report;
}

Result<void> run_bench_scheduler(const BenchSchedulerOptions& options, std::FILE* out) {
  const auto result = bench_scheduler(options);
  if (!result) return tl::make_unexpected(result.error());
  return bench_scheduler_report(options, *result).write(out, options.json);
}

}  // namespace ft::eval
