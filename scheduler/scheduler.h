// Decides what every step is: who takes part, what is drafted, which nodes are verified, what is learned and told.
// Pure: no model and no clock; moments, costs and outcomes are handed in. A step goes through it three times:
//
//   plan     who takes part and what to draft for them      -> DraftBatch   (an executor proposes trees)
//   select   which drafted nodes are worth their rows       -> StepBatch    (an executor runs it)
//   apply    what came of it: tokens out, models corrected
//
// engine_loop.h puts a scheduler and an executor together.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "scheduler/accounting.h"
#include "scheduler/admission.h"
#include "scheduler/engine_stats.h"
#include "scheduler/executor.h"
#include "scheduler/speculation/speculation.h"
#include "scheduler/step_builder.h"

namespace ft::scheduler {

class Scheduler {
 public:
  // `options` are resolved; a copy of them is kept. `info` and `store`, an executor's, must outlive it.
  Scheduler(const EngineOptions& options, const ExecutorInfo& info, SequenceStore& store);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes a validated request into the queue.
  void enqueue(std::unique_ptr<RequestState> request);

  // Drops cancelled requests, admits what fits and plans a step. False if there is nothing to do; else
  // draft_batch() is to be proposed for, and may be empty.
  bool plan(Clock::time_point now);
  const DraftBatch& draft_batch() const { return draft_batch_; }
  // `draft_seconds`: what filling the trees of draft_batch() has taken. Valid until the next plan.
  const StepBatch& select(double draft_seconds);
  void apply(const StepOutcome& outcome, Clock::time_point now);

  // Ends everything that waits or runs as cancelled.
  void cancel_all(Clock::time_point now);
  // Ends what takes part in the step in progress, which has failed, with an error.
  void fail_running(const char* error, Clock::time_point now);
  // Ends everything with an error, without touching the executor. Nothing but this may be called afterwards.
  void abandon_all(const char* error, Clock::time_point now) noexcept;

  int64_t waiting() const { return admission_.waiting(); }
  int64_t running() const { return std::ssize(admission_.running()); }
  const EngineOptions& options() const { return options_; }
  const EngineStats& stats() const { return stats_; }
  EngineStats& stats() { return stats_; }
  Speculation& speculation() { return speculation_; }
  const Speculation& speculation() const { return speculation_; }

  // Verifies the bookkeeping of all memory. Aborts on a broken invariant; for tests.
  void check_integrity() const { admission_.check_integrity(); }
  // Suspends the request that would be suspended next if memory ran out. False if none runs. For tests.
  bool preempt_one(bool keep) { return admission_.suspend_last(keep); }

 private:
  void set_sources(RequestState& state) const;
  void plan_rows();
  bool needs_model(const RequestState& state) const;
  void ask_for_drafts();
  draft::ProposeRequest propose_request(const RunningRequest& running) const;
  void take_drafts();
  void count_time(RequestReport& report, const RequestState& state, const StepOutcome& outcome) const;
  void apply_one(RunningRequest& running, const RequestOutcome& outcome, const StepTimes& times,
                 Clock::time_point now);
  void update_reliability();

  EngineOptions options_;
  const ExecutorInfo& info_;
  EngineStats stats_;
  Admission admission_;
  Speculation speculation_;
  StepBuilder builder_;
  Speculation::StepSeen step_;

  // The drafts asked for, and whose they are. Memory of a step, reused.
  DraftBatch draft_batch_;
  std::vector<draft::ProposeRequest> propose_requests_;
  std::vector<draft::DraftTree> propose_trees_;
  std::vector<RunningRequest*> proposed_for_;
  std::vector<PlanInput> plan_inputs_;
  std::vector<PlanEntry> plan_entries_;
};

}  // namespace ft::scheduler
