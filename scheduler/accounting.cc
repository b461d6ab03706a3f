#include "scheduler/accounting.h"

#include <algorithm>

namespace ft::scheduler {

namespace {

// The first `count` depths.
void count_depths(std::array<int64_t, kReportDepth>& of_request, std::array<int64_t, kReportDepth>& of_all,
                  size_t count) {
  for (size_t depth = 0; depth < std::min<size_t>(count, kReportDepth); ++depth) {
    ++of_request[depth];
    ++of_all[depth];
  }
}

}  // namespace

void account(RunningRequest& running, const RequestOutcome& outcome, EngineStats& stats) {
  if (running.tree.size() == 0) return;
  RequestState& state = *running.state;
  RequestReport& report = state.report;
  const auto emitted = static_cast<int64_t>(outcome.verified.emitted.size());
  stats.generation_tokens += emitted;
  if (state.decoding()) {
    const int64_t drafted = running.tree.size() - 1;
    const auto accepted = static_cast<size_t>(std::min(outcome.verified.accepted(), emitted));
    const int32_t deepest = std::ranges::max(running.tree.nodes, {}, &verify::TokenTree::Node::depth).depth;
    ++report.steps;
    report.drafted += drafted;
    report.accepted += static_cast<int64_t>(accepted);
    ++report.accepted_histogram[std::min<size_t>(accepted, kReportDepth)];
    count_depths(report.drafted_at_depth, stats.drafted_at_depth, static_cast<size_t>(deepest));
    count_depths(report.accepted_at_depth, stats.accepted_at_depth, accepted);
    if (drafted == 0) {
      ++report.fallbacks[static_cast<size_t>(running.fallback)];
      ++stats.fallbacks[static_cast<size_t>(running.fallback)];
    }
    ++stats.decode_steps;
    stats.drafts += drafted > 0 ? 1 : 0;
    stats.draft_tokens += drafted;
    stats.accepted_tokens += static_cast<int64_t>(accepted);
  }
  report.completion_tokens += emitted;
}

namespace {

TokenEvent event_of(const verify::SampleResult& sample) {
  TokenEvent event;
  event.token = sample.token;
  event.logprob = sample.logprob;
  for (const verify::TokenLogprob& top : sample.top_logprobs) event.top.push_back({top.token, top.logprob});
  return event;
}

}  // namespace

void publish_prompt(RequestState& state, const RequestOutcome& outcome) {
  for (const verify::SampleResult& sample : outcome.prompt) {
    TokenEvent event = event_of(sample);
    event.of_prompt = true;
    state.stream->push(std::move(event));
  }
  state.prompt_told += static_cast<int64_t>(outcome.prompt.size());
}

void publish(const RequestState& state, const RequestOutcome& outcome) {
  const verify::Verified& verified = outcome.verified;
  size_t count = verified.emitted.size();
  if (verified.degenerate && count > 0) --count;
  for (size_t i = 0; i < count; ++i) {
    TokenEvent event;
    if (state.request.sampling.logprobs >= 0) event = event_of(verified.samples[i]);
    event.token = verified.emitted[i];
    event.step = static_cast<int32_t>(state.report.steps);
    state.stream->push(std::move(event));
  }
}

}  // namespace ft::scheduler
