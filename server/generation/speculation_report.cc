#include "server/generation/speculation_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace ft::server {
namespace {

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

// Without the zeros at the end, but never empty.
template <size_t N>
std::span<const int64_t> trimmed(const std::array<int64_t, N>& counts) {
  size_t size = N;
  while (size > 1 && counts[size - 1] == 0) --size;
  return {counts.data(), size};
}

// reason:count,... with the reasons between `quote`s.
std::string fallback_list(const scheduler::RequestReport& report, std::string_view quote) {
  std::string out;
  for (size_t i = 0; i < report.fallbacks.size(); ++i) {
    if (i > 0) out += ',';
    const std::string_view name = scheduler::fallback_name(static_cast<scheduler::Fallback>(i));
    fmt::format_to(std::back_inserter(out), "{}{}{}:{}", quote, name, quote, report.fallbacks[i]);
  }
  return out;
}

}  // namespace

void merge_report(scheduler::RequestReport& into, const scheduler::RequestReport& report) {
  into.prompt_tokens += report.prompt_tokens;
  into.cached_tokens += report.cached_tokens;
  into.completion_tokens += report.completion_tokens;
  into.steps += report.steps;
  into.drafted += report.drafted;
  into.accepted += report.accepted;
  into.forced += report.forced;
  for (size_t i = 0; i < into.accepted_histogram.size(); ++i) {
    into.accepted_histogram[i] += report.accepted_histogram[i];
  }
  for (size_t i = 0; i < into.drafted_at_depth.size(); ++i) {
    into.drafted_at_depth[i] += report.drafted_at_depth[i];
    into.accepted_at_depth[i] += report.accepted_at_depth[i];
  }
  for (size_t i = 0; i < into.fallbacks.size(); ++i) into.fallbacks[i] += report.fallbacks[i];
  into.preemptions += report.preemptions;
  into.drafter = report.drafter;
  into.queue_ms = std::max(into.queue_ms, report.queue_ms);
  into.prefill_ms += report.prefill_ms;
  into.draft_ms += report.draft_ms;
  into.verify_ms += report.verify_ms;
  into.commit_ms += report.commit_ms;
}

double mean_acceptance_length(const scheduler::RequestReport& report) {
  return report.steps > 0 ? 1.0 + ratio(report.accepted, report.steps) : 0.0;
}

std::string speculation_json(const scheduler::RequestReport& report, int draft_rows) {
  // Both lists by position are as long, so that a reader can divide one by the other.
  const std::span<const int64_t> drafted = trimmed(report.drafted_at_depth);
  const auto accepted = std::span(report.accepted_at_depth).first(drafted.size());
  return fmt::format(
      R"({{"mean_acceptance_length":{:.6g},"draft_acceptance_rate":{:.6g},"acceptance_histogram":[{}],)"
      R"("num_spec_steps":{},"num_accepted_draft_tokens":{},"num_draft_tokens":{},"num_spec_tokens":{},)"
      R"("drafter":"{}","num_drafts":{},"num_forced_tokens":{},"drafted_per_position":[{}],"accepted_per_position":[{}],)"
      R"("fallbacks":{{{}}},"num_preemptions":{},)"
      R"("queue_ms":{:.3f},"prefill_ms":{:.3f},"draft_ms":{:.3f},"verify_ms":{:.3f},"commit_ms":{:.3f}}})",
      mean_acceptance_length(report), ratio(report.accepted, report.drafted),
      fmt::join(trimmed(report.accepted_histogram), ","), report.steps, report.accepted, report.drafted,
      draft_rows, report.drafter, report.drafted_at_depth[0], report.forced, fmt::join(drafted, ","),
      fmt::join(accepted, ","), fallback_list(report, "\""), report.preemptions, report.queue_ms,
      report.prefill_ms, report.draft_ms, report.verify_ms, report.commit_ms);
}

std::string speculation_words(const scheduler::RequestReport& report) {
  std::string positions;
  const std::span<const int64_t> drafted = trimmed(report.drafted_at_depth);
  for (size_t i = 0; i < drafted.size(); ++i) {
    fmt::format_to(std::back_inserter(positions), "{}{}/{}", i > 0 ? "," : "", report.accepted_at_depth[i],
                   drafted[i]);
  }
  return fmt::format(
      "drafter={} steps={} drafted={} accepted={} forced={} mean={:.2f} histogram={} positions={} "
      "fallbacks={} "
      "preemptions={} queue={:.1f}ms prefill={:.1f}ms draft={:.1f}ms verify={:.1f}ms commit={:.1f}ms",
      report.drafter, report.steps, report.drafted, report.accepted, report.forced,
      mean_acceptance_length(report), fmt::join(trimmed(report.accepted_histogram), ","), positions,
      fallback_list(report, ""), report.preemptions, report.queue_ms, report.prefill_ms, report.draft_ms,
      report.verify_ms, report.commit_ms);
}

}  // namespace ft::server
