// A scheduler and an executor put together: one step after the other, in the caller's thread. The engine runs it in a
// thread of its own; experiments and tests turn it themselves.
//
//   plan -> propose -> select -> forward, verify, commit, observe -> apply
//
// No exception leaves it. One in a step ends the requests that took part, with an error. Where it has left sequences
// half changed, the loop has failed for good: it ends every request, and refuses those that still come.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/weights.h"
#include "scheduler/scheduler.h"
#include "scheduler/speculation/learned_state.h"

namespace ft::scheduler {

// How an engine's parts are made where that differs from serving: for experiments and tests.
struct EngineParts {
  // Puts another drafter around or in place of the one that the options name.
  std::function<std::unique_ptr<draft::Drafter>(std::unique_ptr<draft::Drafter>)> wrap_drafter = {};
  // Puts another executor around the model's.
  std::function<std::unique_ptr<Executor>(std::unique_ptr<Executor>)> wrap_executor = {};
  // Says what steps cost, instead of measuring it or reading it from options.state_folder.
  std::function<void(CostModel&)> set_costs = {};
};

class EngineLoop {
 public:
  // The recipe of every engine: resolves the options, makes the drafter, the model and its executor, and the scheduler;
  // learns what steps cost, from options.state_folder or by measuring. `backend` and `checkpoint` must outlive it.
  // Errors: a drafter that the checkpoint cannot serve, options out of range (the message names the option).
  static Result<std::unique_ptr<EngineLoop>> make(Backend& backend, const Checkpoint& checkpoint,
                                                  const EngineOptions& options,
                                                  const EngineParts& parts = {});
  // Keeps what was learned.
  ~EngineLoop();

  // Takes a validated request into the queue.
  void enqueue(std::unique_ptr<RequestState> request);
  // One step. False if there was nothing to do.
  bool step();
  // Ends everything that is queued or running as cancelled.
  void cancel_all();
  // Writes what was learned; without `now` only if the last time is a while ago.
  void keep_learned(bool now);

  // What went wrong, once the loop has failed for good; "" while it works.
  const std::string& failure() const { return failure_; }
  // Where costs come from, for people: measured, or from which file; "" where the scheduler does not decide.
  const std::string& costs_origin() const { return costs_origin_; }
  const ExecutorInfo& info() const { return executor_->info(); }
  const EngineOptions& options() const { return scheduler_.options(); }
  const EngineStats& stats() const { return scheduler_.stats(); }
  Scheduler& scheduler() { return scheduler_; }
  const Scheduler& scheduler() const { return scheduler_; }

 private:
  EngineLoop(std::unique_ptr<Executor> executor, const EngineOptions& options);
  void learn_costs(const EngineParts& parts);
  LearnedKey learned_key() const;
  bool run_step();
  void recover(const char* error);
  void fail_all() noexcept;
  void warn(const std::string& line) noexcept;

  std::unique_ptr<Executor> executor_;
  Scheduler scheduler_;  // after the executor, whose sequences it holds
  std::string costs_origin_;
  Clock::time_point learned_kept_;
  std::string learned_problem_;  // of the last time that it was kept; "" where there was none
  std::string failure_;
};

}  // namespace ft::scheduler
