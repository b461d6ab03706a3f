// From what was decided for every running request to the rows of one forward call.
#pragma once

#include <span>
#include <vector>

#include "core/backend.h"
#include "scheduler/executor.h"
#include "scheduler/running_request.h"

namespace ft::scheduler {

// Adds the rows that are long parts of prompts (Backend::set_prompt_rows): more than kLongPromptRows of one request
// that are known before the step. Drafts behind them are verified like those of any other step.
void find_long_prompts(const StepBatch& batch, std::vector<RowRange>& ranges);

class StepBuilder {
 public:
  // Sets memory aside for the largest step.
  explicit StepBuilder(const EngineOptions& options);

  // Grows the verify tree of every request from its kept nodes, and lists its rows. Valid until the next build.
  const StepBatch& build(std::span<RunningRequest> running, const SequenceStore& store);
  const StepBatch& batch() const { return batch_; }

 private:
  void add(RunningRequest& running, int64_t length);
  void add_tree(RunningRequest& running, StepRequest& request);
  void add_prompt_logits(const RequestState& state, StepRequest& request);

  StepBatch batch_;
  std::vector<Row> rows_;
  std::vector<int32_t> logit_rows_;
  std::vector<StepRequest> requests_;
  std::vector<int32_t> places_;  // scratch of build_verify_tree
};

}  // namespace ft::scheduler
