#include "scheduler/engine_loop.h"

#include <exception>

#include "scheduler/memory_needs.h"
#include "scheduler/model_executor.h"
#include "scheduler/speculation/learned_state.h"

namespace ft::scheduler {

namespace {

constexpr auto kKeepLearnedEvery = std::chrono::minutes(1);

}  // namespace

Result<std::unique_ptr<EngineLoop>> EngineLoop::make(Backend& backend, const Checkpoint& checkpoint,
                                                     const EngineOptions& requested,
                                                     const EngineParts& parts) {
  const Result<EngineOptions> options = resolve(requested, checkpoint.config(), backend.cache_format());
  if (!options) return tl::make_unexpected(options.error());
  const std::vector<MemoryPart> memory =
      memory_parts(checkpoint.config(), draft_layers(checkpoint, *options), *options, backend.cache_format());
  if (auto fits = check_memory(memory, backend.memory_limit()); !fits)
    return tl::make_unexpected(fits.error());
  // The drafter runs inside the same backend, whose scratch must be planned before either.
  backend.reserve(checkpoint.config(), options->batch_rows);
  const draft::DraftLimits limits{
      .sequences = options->max_sequences, .rows = options->batch_rows, .context = options->context};
  auto drafter = draft::make_drafter(options->drafter, backend, checkpoint, limits);
  if (!drafter) return tl::make_unexpected(drafter.error());
  if (parts.wrap_drafter) *drafter = parts.wrap_drafter(std::move(*drafter));
  std::unique_ptr<Executor> executor =
      std::make_unique<ModelExecutor>(backend, checkpoint, *options, std::move(*drafter));
  if (parts.wrap_executor) executor = parts.wrap_executor(std::move(executor));
  std::unique_ptr<EngineLoop> loop(new EngineLoop(std::move(executor), *options));
  loop->learn_costs(parts);
  return loop;
}

EngineLoop::EngineLoop(std::unique_ptr<Executor> executor, const EngineOptions& options)
    : executor_(std::move(executor)),
      scheduler_(options, executor_->info(), executor_->sequences()),
      learned_kept_(Clock::now()) {}

EngineLoop::~EngineLoop() {
  keep_learned(true);
}

void EngineLoop::learn_costs(const EngineParts& parts) {
  Speculation& speculation = scheduler_.speculation();
  if (!speculation.adaptive() || info().draft_depth_max == 0) return;
  if (parts.set_costs) {
    parts.set_costs(speculation.costs());
    costs_origin_ = "given";
    return;
  }
  const std::string& folder = options().state_folder;
  if (!folder.empty()) {
    const Result<void> loaded =
        load_learned(folder, learned_key(), speculation.costs(), speculation.acceptance());
    if (loaded) {
      costs_origin_ = folder + "/" + learned_key().file_name();
      return;
    }
    if (loaded.error().code != ErrorCode::kNotFound) warn(loaded.error().message);
  }
  costs_origin_ = "measured at the start";
  executor_->measure(speculation.costs());
}

LearnedKey EngineLoop::learned_key() const {
  return {.machine = info().machine,
          .model = info().model,
          .drafter = fmt::format("{}, {} requests, {} rows", info().drafter, options().max_sequences,
                                 options().batch_rows),
          .rule = options().acceptance == Acceptance::kCoupled ? "coupled" : "rejection"};
}

void EngineLoop::keep_learned(bool now) {
  Speculation& speculation = scheduler_.speculation();
  const std::string& folder = options().state_folder;
  if (folder.empty() || !speculation.adaptive() || !speculation.costs().measured()) return;
  if (!now && Clock::now() - learned_kept_ < kKeepLearnedEvery) return;
  learned_kept_ = Clock::now();
  try {
    const Result<void> saved =
        save_learned(folder, learned_key(), speculation.costs(), speculation.acceptance());
    const std::string problem = saved ? "" : saved.error().message;
    // Said once as long as it stays the same.
    if (!problem.empty() && problem != learned_problem_) warn(problem);
    learned_problem_ = problem;
  } catch (const std::exception& error) {
    warn(error.what());  // it is kept the next time
  }
}

void EngineLoop::enqueue(std::unique_ptr<RequestState> request) {
  const std::shared_ptr<TokenStream> stream = request->stream;
  try {
    scheduler_.enqueue(std::move(request));
  } catch (const std::exception& error) {
    RequestReport report;
    report.finish_reason = FinishReason::kError;
    stream->finish(report);
    warn(error.what());
  }
}

bool EngineLoop::step() {
  if (!failure_.empty()) {
    fail_all();
    return false;
  }
  try {
    return run_step();
  } catch (const std::exception& error) {
    recover(error.what());
  } catch (...) {
    recover("an exception of unknown type");
  }
  return true;
}

bool EngineLoop::run_step() {
  if (!scheduler_.plan(Clock::now())) return false;
  const double draft_seconds = executor_->propose(scheduler_.draft_batch());
  const StepOutcome& outcome = executor_->step(scheduler_.select(draft_seconds));
  if (outcome.canary_mismatches > 0) warn(outcome.canary_report);
  scheduler_.apply(outcome, Clock::now());
  return true;
}

// After an exception in a step. Where the executor can be trusted, only the requests that took part are lost.
void EngineLoop::recover(const char* error) {
  try {
    const std::string message = fmt::format("a step failed: {}", error);
    warn(message);
    if (executor_->intact()) {
      scheduler_.fail_running(message.c_str(), Clock::now());
      return;
    }
    failure_ = message + "; what is in the cache can no longer be trusted";
  } catch (...) {
    failure_ = "a step failed";  // short enough to need no memory
  }
  warn(failure_);
  fail_all();
}

// Without touching the executor.
void EngineLoop::fail_all() noexcept {
  scheduler_.abandon_all(failure_.c_str(), Clock::now());
}

void EngineLoop::warn(const std::string& line) noexcept {
  try {
    if (options().on_warning) options().on_warning(line);
  } catch (...) {
    // Whoever writes the log has no memory either; what matters is in the requests' reports.
  }
}

void EngineLoop::cancel_all() {
  if (!failure_.empty()) {
    fail_all();
    return;
  }
  try {
    scheduler_.cancel_all(Clock::now());
  } catch (const std::exception& error) {
    recover(error.what());
    fail_all();
  }
}

}  // namespace ft::scheduler
