// What is worth drafting and verifying in a step, and what a step teaches about it: the draft gate, the selection of
// nodes, and the two models that both ask, of costs and of acceptance.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "scheduler/executor.h"
#include "scheduler/moving_average.h"
#include "scheduler/running_request.h"
#include "scheduler/speculation/acceptance_model.h"
#include "scheduler/speculation/cost_model.h"
#include "scheduler/speculation/draft_gate.h"
#include "scheduler/speculation/node_selection.h"

namespace ft::scheduler {

class Speculation {
 public:
  // Both must outlive it.
  Speculation(const EngineOptions& options, const ExecutorInfo& info);

  // Whether the scheduler decides how much is drafted and verified; else every step has options.tree_nodes rows.
  bool adaptive() const { return options_.tree_nodes == 0; }
  // Depth that the model is asked to draft in this step.
  int draft_depth() const { return draft_depth_; }

  // Takes drafts away from the plans of requests for which the model's draft is not worth its time.
  void decide_drafting(std::span<RunningRequest> running);
  // Rows that the drafter has to take in for a request before it can go on, beyond those of one step.
  int64_t catch_up_rows(const RequestState& state) const;
  // Estimates of a request's new drafts.
  void score(RunningRequest& request) const;
  // Fills the kept nodes of every request. `draft_seconds`: what the drafts have taken.
  void select(std::span<RunningRequest> running, double draft_seconds);

  // What a step has shown. `drafted_for`: requests that the model has drafted for; `catch_up`: rows that it took in
  // first; `number` counts steps.
  struct StepSeen {
    int64_t number = 0;
    int32_t rows = 0;
    bool prompt_rows = false;  // whether prompts were read
    int32_t drafted_for = 0;
    int64_t catch_up = 0;
    double draft_seconds = 0.0;
  };
  void learn(std::span<RunningRequest> running, const StepSeen& seen, const StepOutcome& outcome);

  // Seconds of computing one prompt row.
  double prompt_row_seconds() const;
  // Where a new request's own overlap begins.
  float expert_overlap() const { return expert_overlap_; }
  CostModel& costs() { return costs_; }
  const CostModel& costs() const { return costs_; }
  AcceptanceModel& acceptance() { return acceptance_; }
  const AcceptanceModel& acceptance() const { return acceptance_; }

 private:
  void keep_best(RunningRequest& request, int32_t count) const;
  void select_fixed(RunningRequest& request) const;
  void learn_costs(const StepSeen& seen, const StepOutcome& outcome);
  void learn_overlap(RequestState& state, std::span<const float> overlaps);
  void learn_acceptance(RunningRequest& request, const verify::Verified& verified, bool turn);

  const EngineOptions& options_;
  const ExecutorInfo& info_;
  CostModel costs_;
  AcceptanceModel acceptance_;
  DraftGate gate_;
  std::unique_ptr<NodeSelection> selection_;
  int draft_depth_ = 0;
  float expert_overlap_ = 0.5f;  // of all requests, averaged
  MovingAverage prompt_row_seconds_;

  // Scratch of a step.
  std::vector<DraftGate::Request> gate_requests_;
  std::vector<uint8_t> gate_drafts_;
  std::vector<Candidates> candidates_;
  std::vector<RunningRequest*> candidates_of_;
  std::vector<int32_t> anchors_;
  std::vector<std::vector<int32_t>> kept_;
};

}  // namespace ft::scheduler
