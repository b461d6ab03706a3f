// One step of the engine, and the state that steps work on. No threads in here: the engine calls it from its
// own.
//
//   plan -> propose -> select -> forward -> verify -> commit -> observe -> account -> publish
//
// engine_loop.cc is the step; engine_admission.cc who takes part in it; engine_account.cc what is learned
// from it and told about it.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/model.h"
#include "draft/drafter.h"
#include "scheduler/batch_planner.h"
#include "scheduler/calibration.h"
#include "scheduler/canary.h"
#include "scheduler/cost_model.h"
#include "scheduler/draft_gate.h"
#include "scheduler/engine_options.h"
#include "scheduler/engine_stats.h"
#include "scheduler/expert_usage.h"
#include "scheduler/learned_state.h"
#include "scheduler/request_state.h"
#include "scheduler/sequence_memory.h"
#include "scheduler/speculation_policy.h"
#include "verify/rejection_verifier.h"
#include "verify/token_tree.h"
#include "verify/verifier.h"

namespace ft::scheduler {

class EngineLoop {
 public:
  // `options` are resolved. Measures what steps cost, unless `options.state_folder` already knows.
  EngineLoop(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
             std::unique_ptr<draft::Drafter> drafter);
  // Keeps what was learned.
  ~EngineLoop();

  // Takes a validated request into the queue.
  void enqueue(std::unique_ptr<RequestState> request);
  // Drops cancelled requests, admits what fits, runs one forward call. False if there was nothing to do.
  bool step();
  // Ends everything that is queued or running as cancelled.
  void cancel_all();
  // Writes what was learned; without `now` only if the last time is a while ago.
  void keep_learned(bool now);

  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  const EngineOptions& options() const { return options_; }
  const ModelConfig& config() const { return model_.config(); }
  const draft::Drafter& drafter() const { return *drafter_; }
  const EngineStats& stats() const { return stats_; }
  const Calibration& calibration() const { return calibration_; }
  // See Calibration: for experiments that look at what predictions are like once they have been learned.
  void restart_reliability(double temperature) {
    calibration_.restart_reliability(temperature_bucket(temperature));
  }
  const CostModel& costs() const { return costs_; }
  // Where costs come from, for people: measured, or from which file.
  const std::string& costs_origin() const { return costs_origin_; }

  // Verifies the bookkeeping of all memory. Aborts on a broken invariant; for tests.
  void check_integrity() const;
  // Suspends the request that would be suspended next if memory ran out. False if none runs. For tests.
  bool preempt_one(bool keep);

 private:
  // A running request's part of the step in progress.
  struct Slot {
    std::unique_ptr<RequestState> state;
    PlanEntry plan;
    draft::DraftTree drafts;
    std::vector<float> probability;  // calibrated, of the drafts' nodes
    std::vector<float> hoped;        // what they may turn out to be; see Calibration
    std::vector<int32_t> kept;       // of the drafts' nodes, those that are verified
    verify::TokenTree tree;
    verify::Verified verified;
    Fallback fallback = Fallback::kDisabled;
    int32_t first_logit = 0;  // of its tree in the forward output
    int64_t committed_from = 0;
    std::vector<int32_t> committed;  // row indices
    bool finished = false;

    // Sets memory aside for what a step may need at most.
    void reserve(const EngineOptions& options);
  };

  // engine_admission.cc
  void drop_cancelled();
  void admit();
  bool admit_one(RequestState& state);
  std::string_view sources_name(const RequestState& state) const;
  void make_room_for_step();
  int64_t room_for(const RequestState& state) const;
  void suspend(size_t slot, bool keep);
  bool keeping_is_cheaper(const RequestState& state);
  void set_sources(RequestState& state) const;
  void finish(RequestState& state, FinishReason reason);
  void remove_finished();
  void update_gauges();

  // engine_loop.cc
  void plan();
  void decide_drafting();
  int64_t catch_up_rows(const RequestState& state) const;
  void propose();
  void select();
  void select_fixed(Slot& slot);
  void build_rows();
  void verify(Slot& slot, std::span<const float> logits);
  void commit_and_observe(KvTransaction transaction, const ForwardOutput& output);
  bool adaptive() const { return options_.tree_nodes == 0; }

  // engine_account.cc
  // Moves an average, 0 before its first value, towards `value`.
  static void average(double& mean, double value);
  void learn(double draft_seconds, double step_seconds);
  void account(Slot& slot);
  void publish(Slot& slot);
  void run_canary(std::span<const float> logits);
  void update_reliability();
  std::string mismatch_report(const Slot& slot, const Canary::Outcome& outcome) const;
  LearnedKey learned_key() const;

  EngineOptions options_;
  std::string backend_description_;
  Numerics numerics_;
  int64_t weight_bytes_;
  Model model_;
  std::unique_ptr<draft::Drafter> drafter_;
  SequenceMemory memory_;
  CostModel costs_;
  std::string costs_origin_;
  Calibration calibration_;
  ExpertUsage experts_;
  SpeculationPolicy policy_;
  DraftGate gate_;
  Canary canary_;
  verify::Verifier verifier_;
  verify::RejectionVerifier rejection_;
  std::vector<int32_t> eos_;
  std::deque<std::unique_ptr<RequestState>> waiting_;  // in the order of comes_before
  std::vector<Slot> running_;                          // in the order of comes_before
  EngineStats stats_;
  int64_t arrivals_ = 0;
  float expert_overlap_ = 0.5f;      // of all requests, averaged: where a request's own begins
  double prompt_row_seconds_ = 0.0;  // of one prompt row, averaged
  double image_byte_seconds_ = 0.0;  // of moving one byte of a sequence to the host, averaged
  Clock::time_point learned_kept_;
  std::string learned_problem_;  // of the last time that it was kept; "" where there was none

  // Memory of a step, reused.
  std::vector<PlanInput> plan_inputs_;
  std::vector<PlanEntry> plan_entries_;
  std::vector<DraftGate::Request> gate_requests_;
  std::vector<uint8_t> gate_drafts_;
  int draft_depth_ = 0;  // of the model's drafts in this step
  std::vector<draft::ProposeRequest> propose_requests_;
  std::vector<size_t> propose_slots_;
  std::vector<draft::DraftTree> propose_trees_;
  std::vector<uint8_t> asked_model_;  // per running request
  std::vector<Candidates> candidates_;
  std::vector<size_t> candidate_slots_;
  std::vector<int32_t> anchors_;
  std::vector<std::vector<int32_t>> kept_;
  std::vector<int32_t> places_;  // of a draft's nodes in its tree
  std::vector<Row> rows_;
  std::vector<int32_t> logit_rows_;
  std::vector<int32_t> commit_rows_;
  std::vector<draft::ObservedRows> observed_;
  int32_t drafted_for_ = 0;     // requests that the model's draft was run for
  int64_t catch_up_rows_ = 0;   // that it had to take in first
  double draft_seconds_ = 0.0;  // of propose()
  bool prompt_rows_ = false;    // whether the step reads a prompt
};

}  // namespace ft::scheduler
