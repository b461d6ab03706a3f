#include "scheduler/accounting.h"

#include <algorithm>
#include <memory>
#include <utility>

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

std::shared_ptr<const StepDetail> step_detail(const RunningRequest& running, const RequestOutcome& outcome,
                                              const StepTimes& times) {
  auto detail = std::make_shared<StepDetail>();
  detail->step = static_cast<int32_t>(running.state->report.steps);
  detail->draft_ms = 1e3 * times.draft_seconds;
  detail->verify_ms = 1e3 * times.verify_seconds;
  detail->commit_ms = 1e3 * times.commit_seconds;
  detail->nodes.reserve(static_cast<size_t>(running.tree.size()) - 1);
  for (int32_t i = 1; i < running.tree.size(); ++i) {
    const verify::TokenTree::Node& node = running.tree[i];
    const auto drafted = static_cast<size_t>(running.kept[static_cast<size_t>(i) - 1]);
    detail->nodes.push_back({.token = node.token,
                             .parent = node.parent - 1,
                             .depth = node.depth,
                             .path_probability = node.path_probability,
                             .source = running.drafts.nodes[drafted].source});
  }
  const std::vector<int32_t>& path = outcome.verified.path;
  for (size_t i = 1; i < path.size(); ++i) detail->nodes[static_cast<size_t>(path[i]) - 1].accepted = true;
  return detail;
}

TokenEvent event_of(const verify::SampleResult& sample) {
  TokenEvent event;
  event.token = sample.token;
  event.logprob = sample.logprob;
  for (const verify::TokenLogprob& top : sample.top_logprobs) event.top.push_back({top.token, top.logprob});
  return event;
}

// Of the first `accepted` drafted tokens on the path, those that a constraint had forced.
int64_t count_forced(const RunningRequest& running, const verify::Verified& verified, size_t accepted) {
  int64_t forced = 0;
  for (size_t k = 1; k <= accepted; ++k) {
    const int32_t node = running.kept[static_cast<size_t>(verified.path[k]) - 1];
    forced += running.drafts.nodes[static_cast<size_t>(node)].source == draft::DraftSource::kForced ? 1 : 0;
  }
  return forced;
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
    const int64_t forced = count_forced(running, outcome.verified, accepted);
    report.forced += forced;
    stats.forced_tokens += forced;
  }
  report.completion_tokens += emitted;
}

void publish_prompt(RequestState& state, const RequestOutcome& outcome) {
  for (const verify::SampleResult& sample : outcome.prompt) {
    TokenEvent event = event_of(sample);
    event.of_prompt = true;
    state.stream->push(std::move(event));
  }
  state.prompt_told += static_cast<int64_t>(outcome.prompt.size());
}

void publish(const RunningRequest& running, const RequestOutcome& outcome, const StepTimes& times) {
  const RequestState& state = *running.state;
  const verify::Verified& verified = outcome.verified;
  std::shared_ptr<const StepDetail> detail;
  if (state.request.step_details) detail = step_detail(running, outcome, times);
  size_t count = verified.emitted.size();
  if (verified.degenerate && count > 0) --count;
  for (size_t i = 0; i < count; ++i) {
    TokenEvent event;
    if (state.request.sampling.logprobs >= 0) event = event_of(verified.samples[i]);
    event.token = verified.emitted[i];
    event.step = static_cast<int32_t>(state.report.steps);
    if (detail != nullptr && i + 1 < verified.path.size()) event.node = verified.path[i + 1] - 1;
    event.detail = detail;
    state.stream->push(std::move(event));
  }
}

}  // namespace ft::scheduler
