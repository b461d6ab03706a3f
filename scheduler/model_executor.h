// Runs steps on a model, with its drafter beside it.
#pragma once

#include <memory>
#include <vector>

#include "core/model.h"
#include "draft/drafter.h"
#include "scheduler/canary.h"
#include "scheduler/engine_options.h"
#include "scheduler/executor.h"
#include "scheduler/expert_usage.h"
#include "scheduler/intact.h"
#include "scheduler/model_sequences.h"
#include "verify/rejection_verifier.h"
#include "verify/verifier.h"

namespace ft::scheduler {

class ModelExecutor final : public Executor {
 public:
  // `options` are resolved; `drafter` was made for the same limits. `backend` and `checkpoint` must outlive it.
  ModelExecutor(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
                std::unique_ptr<draft::Drafter> drafter);

  const ExecutorInfo& info() const override { return info_; }
  SequenceStore& sequences() override { return sequences_; }
  double propose(const DraftBatch& batch) override;
  const StepOutcome& step(const StepBatch& batch) override;
  void measure(CostModel& costs) override;
  bool intact() const override { return static_cast<bool>(intact_); }

  const ModelConfig& config() const { return model_.config(); }
  const draft::Drafter& drafter() const { return *drafter_; }

 private:
  void verify(const StepRequest& request, std::span<const float> logits, RequestOutcome& outcome);
  void report_prompt(const StepRequest& request, std::span<const float> logits, RequestOutcome& outcome);
  void collect_committed(const StepBatch& batch);
  void commit(const StepBatch& batch, KvTransaction transaction);
  void observe(const StepBatch& batch, const ForwardOutput& output);
  void count_overlaps(const StepBatch& batch);
  void run_canary(const StepBatch& batch, std::span<const float> logits);

  Model model_;
  std::unique_ptr<draft::Drafter> drafter_;
  Intact intact_;
  ModelSequences sequences_;
  ExpertUsage experts_;
  verify::Verifier verifier_;
  verify::Sampler sampler_;  // of prompts, whose tokens are given
  verify::RejectionVerifier rejection_;
  Acceptance acceptance_;
  Canary canary_;
  std::vector<int32_t> end_tokens_;
  ExecutorInfo info_;
  StepOutcome outcome_;
  std::vector<RequestOutcome> outcomes_;  // what outcome_.requests is of

  // Memory of a step, reused.
  std::vector<std::vector<int32_t>>
      committed_;  // rows of each request: its known ones, then the accepted path
  std::vector<std::vector<int32_t>> next_tokens_;  // the token after each of them
  std::vector<RowRange> prompts_;
  std::vector<int32_t> commit_rows_;
  std::vector<int32_t> canary_rows_;
  std::vector<int32_t> canary_tokens_;
  std::vector<draft::ObservedRows> observed_;
};

}  // namespace ft::scheduler
