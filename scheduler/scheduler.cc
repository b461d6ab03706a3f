#include "scheduler/scheduler.h"

#include <algorithm>
#include <exception>

#include "core/check.h"
#include "scheduler/speculation/source_choice.h"

namespace ft::scheduler {

namespace {

// Steps between two looks at the reliability of predictions, which cost more than counting.
constexpr int64_t kReliabilityEvery = 64;

}  // namespace

Scheduler::Scheduler(const EngineOptions& options, const ExecutorInfo& info, SequenceStore& store)
    : options_(options),
      info_(info),
      admission_(options_, store, stats_),
      speculation_(options_, info),
      builder_(options_) {
  const auto sequences = static_cast<size_t>(options.max_sequences);
  propose_requests_.reserve(sequences);
  proposed_for_.reserve(sequences);
  plan_inputs_.reserve(sequences);
  plan_entries_.reserve(sequences);
  // These change places with those of the requests.
  propose_trees_.resize(sequences);
  for (draft::DraftTree& tree : propose_trees_) tree.nodes.reserve(RunningRequest::nodes_max(options));
}

void Scheduler::enqueue(std::unique_ptr<RequestState> request) {
  set_sources(*request);
  request->expert_overlap = speculation_.expert_overlap();
  admission_.enqueue(std::move(request));
}

// What may propose for a request, and how much: its wishes, which the engine must have the drafters for.
void Scheduler::set_sources(RequestState& state) const {
  const SpeculationParams& wish = state.request.speculation;
  const std::optional<draft::DraftSources> chosen = choose_sources(wish, options_.drafter, info_);
  FT_CHECK(chosen.has_value(), state.request.id, info_.drafter);
  const int32_t most = speculation_.adaptive() ? options_.tree_nodes_max : options_.tree_nodes;
  state.use_model = chosen->use_model;
  state.use_ngram = chosen->use_ngram;
  state.drafts_max = 0;
  if (chosen->use_model || chosen->use_ngram)
    state.drafts_max = std::min(wish.max_nodes.value_or(most), options_.batch_rows) - 1;
  state.report.drafter =
      state.speculates() ? draft::drafter_name(state.use_model ? info_.model_drafter : "", state.use_ngram)
                         : draft::drafter_name("", false);
}

bool Scheduler::plan(Clock::time_point now) {
  admission_.drop_cancelled(now);
  const double row_seconds = speculation_.prompt_row_seconds();
  admission_.admit(now, row_seconds);
  if (admission_.running().empty()) return false;
  admission_.make_room(row_seconds);
  step_ = {.number = stats_.steps};
  plan_rows();
  if (speculation_.adaptive()) speculation_.decide_drafting(admission_.running());
  ask_for_drafts();
  return true;
}

void Scheduler::plan_rows() {
  plan_inputs_.clear();
  for (const RunningRequest& running : admission_.running()) {
    const RequestState& state = *running.state;
    PlanInput input;
    input.pending = static_cast<int64_t>(state.tokens.size()) - admission_.store().length(state.sequence);
    input.known_max = state.decoding() ? input.pending : admission_.memory().tokens_to_stop(state);
    // The first token comes from the prompt's last row; there is nothing to draft from before it. The last
    // token that a request may emit needs no draft either.
    if (state.decoding() && input.pending == 1 && state.tokens_left() > 1)
      input.drafts_max = state.drafts_max;
    plan_inputs_.push_back(input);
  }
  plan_batch(plan_inputs_, {options_.batch_rows, options_.prefill_chunk}, plan_entries_);
  for (size_t i = 0; i < plan_inputs_.size(); ++i) {
    RunningRequest& running = admission_.running()[i];
    running.wanted = plan_inputs_[i];
    running.plan = plan_entries_[i];
    const bool crowded_out = running.wanted.drafts_max > 0 && running.plan.drafts == 0;
    running.fallback = !running.state->speculates() ? Fallback::kDisabled
                       : crowded_out                ? Fallback::kNoRoom
                                                    : Fallback::kNoDraft;
    step_.prompt_rows = step_.prompt_rows || running.plan.known > 1;
    // Where the scheduler chooses, every request may show what it has; rows are shared out afterwards.
    if (speculation_.adaptive() && running.plan.drafts > 0) running.plan.drafts = running.wanted.drafts_max;
    running.asked_model = running.plan.drafts > 0 && needs_model(*running.state);
  }
}

// Whether the model's draft may say more than what is known without it: what the client predicts, or what the
// constraint forces as far ahead as the model looks.
bool Scheduler::needs_model(const RequestState& state) const {
  if (!state.use_model || !state.predicted().empty()) return false;
  if (state.request.constraint == nullptr) return true;
  try {
    return std::ssize(state.request.constraint->forced()) < info_.model_depth.trained;
  } catch (const std::exception&) {
    return false;  // a constraint that fails ends its request when the next token is sampled
  }
}

void Scheduler::ask_for_drafts() {
  propose_requests_.clear();
  proposed_for_.clear();
  for (RunningRequest& running : admission_.running()) {
    running.drafts.nodes.clear();
    running.drafts.probability.clear();
    running.probability.clear();
    running.optimistic.clear();
    if (running.plan.drafts == 0) continue;
    propose_requests_.push_back(propose_request(running));
    proposed_for_.push_back(&running);
    if (!running.asked_model) continue;
    ++step_.drafted_for;
    step_.catch_up += speculation_.catch_up_rows(*running.state);
  }
  draft_batch_ = {propose_requests_, std::span(propose_trees_).first(propose_requests_.size())};
}

draft::ProposeRequest Scheduler::propose_request(const RunningRequest& running) const {
  const RequestState& state = *running.state;
  draft::ProposeRequest request;
  request.sequence = state.sequence;
  request.anchor = state.tokens.back();
  request.position = static_cast<int64_t>(state.tokens.size()) - 1;
  request.history = state.tokens;
  request.temperature = state.request.sampling.greedy() ? 0.0 : state.request.sampling.temperature;
  request.seed = state.request.sampling.seed;
  request.nodes_max = running.plan.drafts;
  if (speculation_.adaptive()) request.model_depth = speculation_.draft_depth();
  request.shape = state.request.speculation.shape.value_or(options_.tree_shape);
  request.constraint = state.request.constraint.get();
  request.predicted = state.predicted();
  request.acceptance = &speculation_.acceptance().table(request.temperature);
  request.use_model = running.asked_model;
  request.use_ngram = state.use_ngram;
  request.draw = options_.acceptance == Acceptance::kRejection && request.temperature > 0.0;
  if (request.draw) request.shape = draft::TreeShape::kChain;
  return request;
}

const StepBatch& Scheduler::select(double draft_seconds) {
  step_.draft_seconds = draft_seconds;
  for (size_t k = 0; k < proposed_for_.size(); ++k) {
    std::swap(proposed_for_[k]->drafts, propose_trees_[k]);
    speculation_.score(*proposed_for_[k]);
  }
  speculation_.select(admission_.running(), draft_seconds);
  const StepBatch& batch = builder_.build(admission_.running(), admission_.store());
  step_.rows = static_cast<int32_t>(batch.rows.size());
  return batch;
}

void Scheduler::apply(const StepOutcome& outcome, Clock::time_point now) {
  std::vector<RunningRequest>& running = admission_.running();
  FT_CHECK(outcome.requests.size() == running.size(), outcome.requests.size(), running.size());
  for (size_t i = 0; i < running.size(); ++i) {
    RequestState& state = *running[i].state;
    const RequestOutcome& came = outcome.requests[i];
    const StepRequest& ran = builder_.batch().requests[i];
    running[i].finished = came.ends();
    state.tokens.insert(state.tokens.end(), came.verified.emitted.begin(), came.verified.emitted.end());
    if (state.request.prediction)
      for (const int32_t token : came.verified.emitted) state.request.prediction->advance(token);
    const int64_t rows = ran.known + (came.verified.path.empty() ? 0 : came.verified.accepted());
    state.undrafted_rows = (running[i].asked_model ? 0 : state.undrafted_rows) + rows;
    if (ran.known > 0 && !running[i].finished) admission_.memory().remember(state, ran.length);
  }
  if (!step_.prompt_rows && speculation_.costs().measured()) {
    stats_.expected_step_seconds +=
        speculation_.costs().verify_seconds(step_.rows, static_cast<double>(outcome.distinct_experts));
    stats_.observed_step_seconds += outcome.verify_seconds + outcome.commit_seconds;
  }
  speculation_.learn(running, step_, outcome);
  const StepTimes times{step_.draft_seconds, outcome.verify_seconds, outcome.commit_seconds};
  for (size_t i = 0; i < running.size(); ++i) {
    if (running[i].plan.known == 0) continue;
    count_time(running[i].state->report, *running[i].state, outcome);
    try {
      apply_one(running[i], outcome.requests[i], times, now);
    } catch (const std::exception& error) {
      // No memory for its tokens' log probabilities, say: it is the only one that loses anything.
      running[i].finished = true;
      running[i].state->report.error = error.what();
      admission_.finish(*running[i].state, FinishReason::kError, now);
    }
  }
  if (++stats_.steps % kReliabilityEvery == 0) update_reliability();
  stats_.draft_seconds += step_.draft_seconds;
  stats_.verify_seconds += outcome.verify_seconds;
  stats_.commit_seconds += outcome.commit_seconds;
  stats_.canary_checks += outcome.canary_checks;
  stats_.canary_mismatches += outcome.canary_mismatches;
  admission_.remove_finished();
}

// A step shared by several requests counts in full for each: it is what each of them waited for.
void Scheduler::count_time(RequestReport& report, const RequestState& state,
                           const StepOutcome& outcome) const {
  if (state.decoding()) {
    report.draft_ms += 1e3 * step_.draft_seconds;
    report.verify_ms += 1e3 * outcome.verify_seconds;
    report.commit_ms += 1e3 * outcome.commit_seconds;
  } else {
    report.prefill_ms += 1e3 * (step_.draft_seconds + outcome.verify_seconds + outcome.commit_seconds);
  }
}

void Scheduler::apply_one(RunningRequest& running, const RequestOutcome& outcome, const StepTimes& times,
                          Clock::time_point now) {
  RequestState& state = *running.state;
  if (!outcome.error.empty()) {
    state.report.error = outcome.error;
    admission_.finish(state, FinishReason::kError, now);
    return;
  }
  publish_prompt(state, outcome);
  account(running, outcome, stats_);
  const verify::Verified& verified = outcome.verified;
  if (running.tree.size() == 0 || verified.emitted.empty()) return;
  publish(running, outcome, times);
  if (verified.degenerate) {
    state.report.completion_tokens -= 1;
    state.report.error = "the model's logits have no usable value";
    admission_.finish(state, FinishReason::kError, now);
  } else if (verified.finish == verify::FinishReason::kStop) {
    state.report.stop_token = verified.emitted.back();
    admission_.finish(state, FinishReason::kStop, now);
  } else if (verified.finish == verify::FinishReason::kLength) {
    admission_.finish(state, FinishReason::kLength, now);
  } else {
    state.stream->notify();
  }
}

void Scheduler::cancel_all(Clock::time_point now) {
  admission_.finish_waiting(FinishReason::kCancelled, "", now);
  admission_.finish_running(FinishReason::kCancelled, "", now);
}

void Scheduler::fail_running(const char* error, Clock::time_point now) {
  admission_.finish_running(FinishReason::kError, error, now);
}

void Scheduler::abandon_all(const char* error, Clock::time_point now) noexcept {
  admission_.abandon_all(error, now);
}

void Scheduler::update_reliability() {
  const AcceptanceModel& acceptance = speculation_.acceptance();
  for (int depth = 1; depth <= AcceptanceModel::kDepths; ++depth) {
    EngineStats::Reliability& shown = stats_.reliability[static_cast<size_t>(depth - 1)];
    // Of the temperatures, the one that was drafted for most.
    const Reliability* most = &acceptance.reliability(0, depth);
    for (int bucket = 1; bucket < kTemperatureBuckets; ++bucket)
      if (acceptance.reliability(bucket, depth).count() > most->count())
        most = &acceptance.reliability(bucket, depth);
    shown = {most->ece(), most->brier(), most->auc()};
  }
}

}  // namespace ft::scheduler
