// What a step has taught: costs, calibration, reports, statistics, the canary.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ranges>

#include "scheduler/engine_loop.h"

namespace ft::scheduler {

namespace {

// Averages remember about this many values.
constexpr double kMemory = 16.0;
// Weight of the newest row in a request's overlap of experts.
constexpr float kOverlapRate = 0.1f;
constexpr auto kKeepLearnedEvery = std::chrono::minutes(1);

}  // namespace

void EngineLoop::average(double& mean, double value) {
  mean += (value - mean) / (mean > 0.0 ? kMemory : 1.0);
}

void EngineLoop::learn(double draft_seconds, double step_seconds) {
  const auto rows = static_cast<int32_t>(rows_.size());
  if (prompt_rows_) {
    average(prompt_row_seconds_, step_seconds / rows);
  } else {
    // Rows of prompts ask for no logits and cost less, so only steps without them say what a verified row
    // costs.
    const auto experts = static_cast<double>(experts_.distinct());
    if (costs_.measured()) {
      stats_.expected_step_seconds += costs_.verify_seconds(rows, experts);
      stats_.observed_step_seconds += step_seconds;
    }
    costs_.observe_verify(rows, experts, step_seconds);
  }
  if (adaptive() && drafted_for_ > 0)
    costs_.observe_draft(drafted_for_ * draft_depth_, catch_up_rows_, draft_seconds);
  if (adaptive() && !gate_requests_.empty())
    gate_.spend(gate_requests_, gate_drafts_, draft_seconds + step_seconds);
  const auto drafts = static_cast<size_t>(
      std::ranges::count_if(running_, [](const Slot& slot) { return !slot.drafts.nodes.empty(); }));
  size_t place = 0;
  for (size_t r = 0; r < running_.size(); ++r) {
    Slot& slot = running_[r];
    RequestState& state = *slot.state;
    if (slot.tree.size() > 1)
      for (size_t i = 1; i < slot.committed.size(); ++i) {
        const float overlap = experts_.overlap(slot.committed[i], slot.committed[i - 1]);
        state.expert_overlap += kOverlapRate * (overlap - state.expert_overlap);
        expert_overlap_ += kOverlapRate * (overlap - expert_overlap_);
      }
    if (slot.drafts.nodes.empty()) continue;
    const bool turn = Calibration::learns_from(stats_.steps, place++, drafts);
    if (slot.verified.emitted.empty() || slot.verified.degenerate) continue;
    // Nodes that a limit has ruled out say nothing.
    if (turn && state.tokens_left() > draft::kShareDepthMax)
      calibration_.observe(state.request.sampling.temperature, slot.drafts.nodes, slot.probability, slot.kept,
                           slot.verified.emitted);
    if (!adaptive() || asked_model_[r] == 0 || !(turn || state.outlook.is_new())) continue;
    // As deep as this tree could be.
    const int64_t depth = std::min<int64_t>({draft_depth_, slot.plan.drafts, state.tokens_left() - 1});
    gate_.observe(state.outlook, slot.drafts.nodes, slot.hoped, static_cast<int>(depth));
  }
}

void EngineLoop::account(Slot& slot) {
  if (slot.tree.size() == 0) return;
  RequestState& state = *slot.state;
  RequestReport& report = state.report;
  const auto emitted = static_cast<int64_t>(slot.verified.emitted.size());
  stats_.generation_tokens += emitted;
  if (state.decoding()) {
    const int64_t drafted = slot.tree.size() - 1;
    const auto accepted = static_cast<size_t>(std::min(slot.verified.accepted(), emitted));
    const int32_t deepest = std::ranges::max(slot.tree.nodes, {}, &verify::TokenTree::Node::depth).depth;
    ++report.steps;
    report.drafted += drafted;
    report.accepted += static_cast<int64_t>(accepted);
    ++report.accepted_histogram[std::min<size_t>(accepted, kReportDepth)];
    for (size_t depth = 0; depth < std::min<size_t>(static_cast<size_t>(deepest), kReportDepth); ++depth) {
      ++report.drafted_at_depth[depth];
      ++stats_.drafted_at_depth[depth];
    }
    for (size_t depth = 0; depth < std::min<size_t>(accepted, kReportDepth); ++depth) {
      ++report.accepted_at_depth[depth];
      ++stats_.accepted_at_depth[depth];
    }
    if (drafted == 0) {
      ++report.fallbacks[static_cast<size_t>(slot.fallback)];
      ++stats_.fallbacks[static_cast<size_t>(slot.fallback)];
    }
    ++stats_.decode_steps;
    stats_.drafts += drafted > 0 ? 1 : 0;
    stats_.draft_tokens += drafted;
    stats_.accepted_tokens += static_cast<int64_t>(accepted);
  }
  report.completion_tokens += emitted;
}

void EngineLoop::publish(Slot& slot) {
  RequestState& state = *slot.state;
  TokenStream& stream = *state.stream;
  size_t count = slot.verified.emitted.size();
  if (slot.tree.size() == 0 || count == 0) return;
  if (slot.verified.degenerate) --count;
  const auto step = static_cast<int32_t>(state.report.steps);
  for (size_t i = 0; i < count; ++i) {
    TokenEvent event;
    event.token = slot.verified.emitted[i];
    event.step = step;
    if (state.request.sampling.logprobs >= 0) {
      event.logprob = slot.verified.samples[i].logprob;
      for (const verify::TokenLogprob& top : slot.verified.samples[i].top_logprobs)
        event.top.push_back({top.token, top.logprob});
    }
    stream.push(std::move(event));
  }
  if (slot.verified.degenerate) {
    state.report.completion_tokens -= 1;
    state.report.error = "the model's logits have no usable value";
    finish(state, FinishReason::kError);
  } else if (slot.verified.finish == verify::FinishReason::kStop) {
    state.report.stop_token = slot.verified.emitted.back();
    finish(state, FinishReason::kStop);
  } else if (slot.verified.finish == verify::FinishReason::kLength) {
    finish(state, FinishReason::kLength);
  } else {
    stream.notify();
  }
}

// Recomputes what one request has committed in this step. The logits are those of the step.
void EngineLoop::run_canary(std::span<const float> logits) {
  if (!canary_.chosen()) return;
  for (Slot& slot : running_) {
    // Rows of prompts ask for no logits; what has ended was not committed.
    if (slot.plan.known != 1 || slot.finished || slot.tree.size() == 0) continue;
    const RequestState& state = *slot.state;
    logit_rows_.clear();
    for (int32_t row : slot.committed) logit_rows_.push_back(slot.first_logit + row - slot.committed.front());
    const Canary::Check check{
        .sequence = state.sequence,
        .first_position = slot.committed_from,
        .tokens =
            std::span(state.tokens).subspan(static_cast<size_t>(slot.committed_from), slot.committed.size()),
        .logit_rows = logit_rows_,
        .logits = logits};
    const Canary::Outcome outcome = canary_.run(model_, check);
    stats_.canary_checks += outcome.checked;
    stats_.canary_mismatches += outcome.mismatches;
    if (outcome.mismatches > 0 && options_.on_warning) options_.on_warning(mismatch_report(slot, outcome));
    return;
  }
}

// Everything that is needed to run the step again.
std::string EngineLoop::mismatch_report(const Slot& slot, const Canary::Outcome& outcome) const {
  const RequestState& state = *slot.state;
  const ModelConfig& config = model_.config();
  const auto tokens = slot.tree.nodes | std::views::transform(&verify::TokenTree::Node::token);
  const auto parents = slot.tree.nodes | std::views::transform(&verify::TokenTree::Node::parent);
  return fmt::format(
      "canary: request {}: {} of {} rows differ alone from what was verified: {}; backend {}, {} layers, "
      "numerics {}; "
      "rows of the step {}; committed from {}; seed {}, temperature {}; tokens [{}]; tree tokens [{}], "
      "parents [{}]",
      state.request.id, outcome.mismatches, outcome.checked, outcome.first, backend_description_,
      config.num_hidden_layers, numerics_ == Numerics::kExact ? "exact" : "official", rows_.size(),
      slot.committed_from, state.request.sampling.seed, state.request.sampling.temperature,
      fmt::join(state.tokens, ","), fmt::join(tokens, ","), fmt::join(parents, ","));
}

LearnedKey EngineLoop::learned_key() const {
  const ModelConfig& config = model_.config();
  LearnedKey key;
  key.machine = processor_name() + " / " + backend_description_;
  key.model = fmt::format("{} layers, {} wide, {} experts, {} per token, vocabulary {}, {} bytes, {}",
                          config.num_hidden_layers, config.hidden_size, config.n_routed_experts,
                          config.num_experts_per_tok, config.vocab_size, weight_bytes_,
                          numerics_ == Numerics::kExact ? "exact" : "official");
  key.drafter =
      fmt::format("{}, {} requests, {} rows", drafter_->name(), options_.max_sequences, options_.batch_rows);
  key.rule = options_.acceptance == Acceptance::kCoupled ? "coupled" : "rejection";
  return key;
}

void EngineLoop::keep_learned(bool now) {
  if (options_.state_folder.empty() || !adaptive() || !costs_.measured()) return;
  if (!now && Clock::now() - learned_kept_ < kKeepLearnedEvery) return;
  learned_kept_ = Clock::now();
  const Result<void> saved = save_learned(options_.state_folder, learned_key(), costs_, calibration_);
  const std::string problem = saved ? "" : saved.error().message;
  // Said once as long as it stays the same.
  if (!problem.empty() && problem != learned_problem_ && options_.on_warning) options_.on_warning(problem);
  learned_problem_ = problem;
}

void EngineLoop::update_reliability() {
  for (int depth = 1; depth <= Calibration::kDepths; ++depth) {
    EngineStats::Reliability& shown = stats_.reliability[static_cast<size_t>(depth - 1)];
    // Of the temperatures, the one that was drafted for most.
    const Reliability* most = &calibration_.reliability(0, depth);
    for (int bucket = 1; bucket < kTemperatureBuckets; ++bucket)
      if (calibration_.reliability(bucket, depth).count() > most->count())
        most = &calibration_.reliability(bucket, depth);
    shown = {most->ece(), most->brier(), most->auc()};
  }
}

}  // namespace ft::scheduler
