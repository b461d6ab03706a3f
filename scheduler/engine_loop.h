// One step of the engine, and the state that steps work on. No threads in here: the engine calls it from its
// own.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/model.h"
#include "draft/drafter.h"
#include "scheduler/batch_planner.h"
#include "scheduler/engine_options.h"
#include "scheduler/engine_stats.h"
#include "scheduler/request_state.h"
#include "verify/token_tree.h"
#include "verify/verifier.h"

namespace ft::scheduler {

class EngineLoop {
 public:
  // `options` are resolved.
  EngineLoop(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
             std::unique_ptr<draft::Drafter> drafter);
  ~EngineLoop();

  // Takes a validated request into the queue.
  void enqueue(std::unique_ptr<RequestState> request);
  // Drops cancelled requests, admits what fits, runs one forward call. False if there was nothing to do.
  bool step();
  // Ends everything that is queued or running as cancelled.
  void cancel_all();

  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  const EngineOptions& options() const { return options_; }
  const ModelConfig& config() const { return model_.config(); }
  const draft::Drafter& drafter() const { return *drafter_; }
  const EngineStats& stats() const { return stats_; }
  const KvCache& cache() const { return model_.cache(); }

 private:
  // A running request's part of the step in progress.
  struct Slot {
    std::unique_ptr<RequestState> state;
    PlanEntry plan;
    draft::DraftTree drafts;
    verify::TokenTree tree;
    verify::Verified verified;
    int32_t first_row = 0;    // of its known rows
    int32_t first_logit = 0;  // of its tree in the forward output
    int64_t committed_from = 0;
    std::vector<int32_t> committed;  // row indices
    bool finished = false;
  };

  int32_t nodes_max(const RequestState& state) const;
  void drop_cancelled();
  void admit();
  void plan();
  void propose();
  void build_rows();
  void verify(Slot& slot, std::span<const float> logits);
  void account(Slot& slot);
  void commit_and_observe(KvTransaction transaction, const ForwardOutput& output);
  void publish(Slot& slot);
  void finish(RequestState& state, FinishReason reason);
  void remove_finished();

  EngineOptions options_;
  Model model_;
  std::unique_ptr<draft::Drafter> drafter_;
  verify::Verifier verifier_;
  std::vector<int32_t> eos_;
  std::deque<std::unique_ptr<RequestState>> waiting_;
  std::vector<Slot> running_;  // oldest first
  EngineStats stats_;
  int64_t reserved_tokens_ = 0;

  // Memory of a step, reused.
  std::vector<PlanInput> plan_inputs_;
  std::vector<PlanEntry> plan_entries_;
  std::vector<draft::ProposeRequest> propose_requests_;
  std::vector<size_t> propose_slots_;
  std::vector<draft::DraftTree> propose_trees_;
  std::vector<Row> rows_;
  std::vector<int32_t> logit_rows_;
  std::vector<int32_t> commit_rows_;
  std::vector<draft::ObservedRows> observed_;
};

}  // namespace ft::scheduler
