// The canary's part of a step.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "scheduler/model_executor.h"

namespace ft::scheduler {

namespace {

// Everything that is needed to run the step again.
std::string mismatch_report(const ExecutorInfo& info, const StepBatch& batch, const StepRequest& request,
                            const verify::Verified& verified, const Canary::Outcome& outcome) {
  std::vector<int32_t> tokens;
  std::vector<int32_t> parents;
  for (const verify::TokenTree::Node& node : request.tree->nodes) {
    tokens.push_back(node.token);
    parents.push_back(node.parent);
  }
  return fmt::format(
      "canary: request {}: {} of {} rows differ alone from what was verified: {}; machine {}; model {}; "
      "rows of the step {}; committed from {}; seed {}, temperature {}; tokens [{}], emitted [{}]; "
      "tree tokens [{}], parents [{}]",
      request.id, outcome.mismatches, outcome.checked, outcome.first, info.machine, info.model,
      batch.rows.size(), request.length, request.params->seed, request.params->temperature,
      fmt::join(request.tokens, ","), fmt::join(verified.emitted, ","), fmt::join(tokens, ","),
      fmt::join(parents, ","));
}

}  // namespace

// Computes what one request has committed in this step again. `logits` are those of the step.
void ModelExecutor::run_canary(const StepBatch& batch, std::span<const float> logits) {
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const StepRequest& request = batch.requests[i];
    // Rows of prompts ask for no logits; what has ended was not committed.
    if (request.known != 1 || !request.samples() || outcome_.requests[i].ends()) continue;
    const std::vector<int32_t>& rows = committed_[i];
    canary_rows_.clear();
    canary_tokens_.clear();
    for (int32_t row : rows) {
      canary_rows_.push_back(request.first_logit + row - rows.front());
      canary_tokens_.push_back(batch.rows[static_cast<size_t>(row)].token);
    }
    const Canary::Check check{.sequence = request.sequence,
                              .first_position = request.length,
                              .tokens = canary_tokens_,
                              .logit_rows = canary_rows_,
                              .logits = logits};
    const Canary::Outcome outcome = intact_.change([&] { return canary_.run(model_, check); });
    outcome_.canary_checks = outcome.checked;
    outcome_.canary_mismatches = outcome.mismatches;
    if (outcome.mismatches > 0)
      outcome_.canary_report = mismatch_report(info_, batch, request, outcome_.requests[i].verified, outcome);
    return;
  }
}

}  // namespace ft::scheduler
