#include "scheduler/speculation/speculation.h"

#include <algorithm>

#include "scheduler/speculation/global_selection.h"

namespace ft::scheduler {

namespace {

// Weight of the newest row in an average overlap of experts.
constexpr float kOverlapRate = 0.1f;

std::unique_ptr<NodeSelection> make_selection(const EngineOptions& options, const ExecutorInfo& info,
                                              const CostModel& costs) {
  if (options.make_selection) return options.make_selection(costs);
  return std::make_unique<GlobalSelection>(costs, info.experts);
}

}  // namespace

Speculation::Speculation(const EngineOptions& options, const ExecutorInfo& info)
    : options_(options),
      info_(info),
      costs_(options.batch_rows, options.max_sequences * std::max(1, info.model_depth.most),
             info.experts_per_row, info.experts_all),
      gate_(costs_, info.model_depth),
      selection_(make_selection(options, info, costs_)) {
  const auto sequences = static_cast<size_t>(options.max_sequences);
  candidates_.reserve(sequences);
  candidates_of_.reserve(sequences);
  // These change places with those of the requests.
  kept_.resize(sequences);
  for (std::vector<int32_t>& kept : kept_) kept.reserve(RunningRequest::nodes_max(options) + 1);
}

void Speculation::decide_drafting(std::span<RunningRequest> running) {
  gate_requests_.clear();
  int32_t rows = 0;
  int32_t emitting = 0;
  for (const RunningRequest& request : running) {
    RequestState& state = *request.state;
    rows += static_cast<int32_t>(request.plan.known);
    emitting += request.emits() ? 1 : 0;
    gate_requests_.push_back({&state.history, request.asked_model ? request.plan.drafts : 0,
                              catch_up_rows(state), state.expert_overlap});
  }
  draft_depth_ = gate_.decide(gate_requests_, rows, emitting, gate_drafts_);
  for (size_t i = 0; i < running.size(); ++i) {
    RunningRequest& request = running[i];
    request.asked_model = request.asked_model && gate_drafts_[i] != 0;
    request.look = i == gate_.look().request ? gate_.look().nodes : 0;
    if (request.plan.drafts == 0 || !request.state->use_model || request.asked_model) continue;
    request.fallback = Fallback::kNotWorth;
    if (!request.state->drafts_freely()) request.plan.drafts = 0;
  }
}

int64_t Speculation::catch_up_rows(const RequestState& state) const {
  const int64_t rows = std::min(state.undrafted_rows, info_.window);
  return rows > state.drafts_max + 1 ? rows : 0;
}

void Speculation::score(RunningRequest& request) const {
  const double temperature = request.state->request.sampling.temperature;
  const std::span<const draft::DraftNode> nodes = request.drafts.nodes;
  acceptance_.correct(temperature, nodes, request.probability);
  acceptance_.optimistic(temperature, nodes, request.probability, request.optimistic);
  // A node deeper than what may still be emitted is on nobody's path.
  const int64_t depth_max = request.state->tokens_left() - 1;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].depth > depth_max) request.probability[i] = request.optimistic[i] = 0.0f;
}

void Speculation::select(std::span<RunningRequest> running, double draft_seconds) {
  for (RunningRequest& request : running) request.kept.clear();
  if (!adaptive()) {
    for (RunningRequest& request : running) select_fixed(request);
    return;
  }
  StepBase base;
  base.rows_max = options_.batch_rows;
  base.running = static_cast<int32_t>(running.size());
  base.draft_seconds = draft_seconds;
  const bool optimistic = !selection_->causal();
  candidates_.clear();
  candidates_of_.clear();
  anchors_.clear();
  for (RunningRequest& request : running) {
    base.rows += static_cast<int32_t>(request.plan.known);
    base.emitting += request.emits() ? 1 : 0;
    if (request.plan.known == 1) anchors_.push_back(request.state->tokens.back());
    if (request.drafts.nodes.empty()) continue;
    candidates_.push_back({request.drafts.nodes, optimistic ? request.optimistic : request.probability,
                           request.plan.drafts, request.state->expert_overlap});
    candidates_of_.push_back(&request);
  }
  base.anchors = anchors_;
  if (candidates_.empty()) return;
  selection_->select(candidates_, base, kept_);
  int32_t room = base.rows_max - base.rows;
  for (size_t k = 0; k < candidates_of_.size(); ++k) room -= static_cast<int32_t>(kept_[k].size());
  for (size_t k = 0; k < candidates_of_.size(); ++k) {
    RunningRequest& request = *candidates_of_[k];
    std::swap(request.kept, kept_[k]);
    const auto kept = static_cast<int32_t>(request.kept.size());
    if (optimistic && request.look > kept) keep_best(request, std::min(request.look, kept + room));
    if (request.kept.empty()) request.fallback = Fallback::kNotWorth;
  }
}

// The most probable nodes. A child is at most as probable as its parent and stands behind it.
void Speculation::keep_best(RunningRequest& request, int32_t count) const {
  request.kept.clear();
  for (size_t i = 0; i < request.drafts.nodes.size(); ++i)
    if (request.optimistic[i] > 0.0f) request.kept.push_back(static_cast<int32_t>(i));
  std::ranges::sort(request.kept, [&](int32_t a, int32_t b) {
    const float first = request.optimistic[static_cast<size_t>(a)],
                second = request.optimistic[static_cast<size_t>(b)];
    return first > second || (first == second && a < b);
  });
  if (std::ssize(request.kept) > count) request.kept.resize(static_cast<size_t>(count));
  std::ranges::sort(request.kept);
}

// A fixed number of rows: the drafter was asked for the best nodes of so many.
void Speculation::select_fixed(RunningRequest& request) const {
  const auto nodes = static_cast<int32_t>(request.drafts.nodes.size());
  for (int32_t i = 0; i < nodes && std::ssize(request.kept) < request.plan.drafts; ++i)
    if (request.probability[static_cast<size_t>(i)] > 0.0f) request.kept.push_back(i);
}

void Speculation::learn(std::span<RunningRequest> running, const StepSeen& seen, const StepOutcome& outcome) {
  learn_costs(seen, outcome);
  if (adaptive() && !gate_requests_.empty())
    gate_.spend(gate_requests_, gate_drafts_,
                seen.draft_seconds + outcome.verify_seconds + outcome.commit_seconds);
  const auto trees = static_cast<size_t>(std::ranges::count_if(
      running, [](const RunningRequest& request) { return !request.drafts.nodes.empty(); }));
  size_t place = 0;
  for (size_t i = 0; i < running.size(); ++i) {
    RunningRequest& request = running[i];
    learn_overlap(*request.state, outcome.requests[i].expert_overlaps);
    if (request.drafts.nodes.empty()) continue;
    const bool turn = AcceptanceModel::learns_from(seen.number, place++, trees);
    const verify::Verified& verified = outcome.requests[i].verified;
    if (!verified.emitted.empty() && !verified.degenerate) learn_acceptance(request, verified, turn);
  }
}

void Speculation::learn_costs(const StepSeen& seen, const StepOutcome& outcome) {
  const double seconds = outcome.verify_seconds + outcome.commit_seconds;
  // Rows of prompts ask for no logits and cost less, so only steps without them say what a verified row costs.
  if (seen.prompt_rows)
    prompt_row_seconds_.add(seconds / seen.rows);
  else
    costs_.observe_verify(seen.rows, static_cast<double>(outcome.distinct_experts), seconds);
  if (adaptive() && seen.drafted_for > 0)
    costs_.observe_draft(seen.drafted_for * draft_depth_, seen.catch_up, seen.draft_seconds);
}

void Speculation::learn_overlap(RequestState& state, std::span<const float> overlaps) {
  for (const float overlap : overlaps) {
    state.expert_overlap += kOverlapRate * (overlap - state.expert_overlap);
    expert_overlap_ += kOverlapRate * (overlap - expert_overlap_);
  }
}

// `turn`: whether it is this request's turn, where there is more to learn from than time.
void Speculation::learn_acceptance(RunningRequest& request, const verify::Verified& verified, bool turn) {
  RequestState& state = *request.state;
  // Nodes that a limit has ruled out say nothing.
  if (turn && state.tokens_left() > draft::kAcceptanceDepths)
    acceptance_.observe(state.request.sampling.temperature, request.drafts.nodes, request.probability,
                        request.kept, verified.emitted);
  if (!adaptive() || !request.asked_model || !(turn || state.history.is_new())) return;
  // As deep as this tree could be.
  const int64_t depth = std::min<int64_t>({draft_depth_, request.plan.drafts, state.tokens_left() - 1});
  gate_.observe(state.history, request.drafts.nodes, request.optimistic, static_cast<int>(depth));
}

double Speculation::prompt_row_seconds() const {
  if (prompt_row_seconds_.mean() > 0.0) return prompt_row_seconds_.mean();
  // Before it was seen: like a verified row in a large step.
  return costs_.verify_seconds(static_cast<double>(options_.prefill_chunk)) / options_.prefill_chunk;
}

}  // namespace ft::scheduler
