#include "scheduler/step_builder.h"

#include "scheduler/speculation/verify_tree.h"

namespace ft::scheduler {

void find_long_prompts(const StepBatch& batch, std::vector<RowRange>& ranges) {
  for (const StepRequest& request : batch.requests)
    if (request.known > kLongPromptRows) ranges.push_back({request.first_row, request.known});
}

StepBuilder::StepBuilder(const EngineOptions& options) {
  rows_.reserve(static_cast<size_t>(options.batch_rows));
  logit_rows_.reserve(static_cast<size_t>(options.batch_rows));
  requests_.reserve(static_cast<size_t>(options.max_sequences));
  places_.reserve(RunningRequest::nodes_max(options) + 1);
}

const StepBatch& StepBuilder::build(std::span<RunningRequest> running, const SequenceStore& store) {
  rows_.clear();
  logit_rows_.clear();
  requests_.clear();
  for (RunningRequest& request : running) add(request, store.length(request.state->sequence));
  batch_ = {rows_, logit_rows_, requests_};
  return batch_;
}

void StepBuilder::add(RunningRequest& running, int64_t length) {
  RequestState& state = *running.state;
  running.tree.clear();
  StepRequest& request = requests_.emplace_back();
  request.id = state.request.id;
  request.sequence = state.sequence;
  request.tokens = state.tokens;
  request.length = length;
  request.first_row = static_cast<int32_t>(rows_.size());
  request.known = static_cast<int32_t>(running.plan.known);
  request.drafts = state.speculates();
  for (int32_t i = 0; i < request.known; ++i) {
    const int64_t position = length + i;
    rows_.push_back({state.tokens[static_cast<size_t>(position)], static_cast<int32_t>(position),
                     state.sequence, i == 0 ? kCommitted : request.first_row + i - 1});
  }
  if (state.wants_prompt_logprobs()) add_prompt_logits(state, request);
  // Where the last known token is in, the target chooses from there on, and drafts hang on.
  if (request.known > 0 && running.emits()) add_tree(running, request);
}

// Rows whose next token is one of the prompt that has not been told of.
void StepBuilder::add_prompt_logits(const RequestState& state, StepRequest& request) {
  request.first_prompt_logit = static_cast<int32_t>(logit_rows_.size());
  request.first_prompt_token = state.prompt_told;
  request.prompt_logprobs = state.request.prompt_logprobs;
  for (int32_t i = 0; i < request.known; ++i) {
    const int64_t next = request.length + i + 1;
    if (next < state.prompt_told || next >= static_cast<int64_t>(state.request.prompt.size())) continue;
    logit_rows_.push_back(request.first_row + i);
    ++request.prompt_logits;
  }
}

void StepBuilder::add_tree(RunningRequest& running, StepRequest& request) {
  RequestState& state = *running.state;
  build_verify_tree(state.tokens.back(), running.drafts.nodes, running.probability, running.kept, places_,
                    running.tree);
  request.tree = &running.tree;
  request.first_logit = static_cast<int32_t>(logit_rows_.size());
  request.distribution = running.drafts.probability;
  request.params = &state.request.sampling;
  request.stop_tokens = state.request.stop_tokens;
  request.ignore_eos = state.request.ignore_eos;
  request.tokens_left = state.tokens_left();
  request.counts = state.request.sampling.uses_counts() ? &state.counts : nullptr;
  request.constraint = state.request.constraint.get();
  const int32_t anchor_row = request.first_row + request.known - 1;
  const auto anchor_position = static_cast<int32_t>(state.tokens.size()) - 1;
  logit_rows_.push_back(anchor_row);
  for (int32_t i = 1; i < running.tree.size(); ++i) {
    const verify::TokenTree::Node& node = running.tree[i];
    rows_.push_back({node.token, anchor_position + node.depth, state.sequence, anchor_row + node.parent});
    logit_rows_.push_back(anchor_row + i);
  }
}

}  // namespace ft::scheduler
