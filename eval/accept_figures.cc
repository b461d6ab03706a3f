#include "eval/accept_figures.h"

#include "core/check.h"

namespace ft::eval {

namespace {

double quotient(double value, double by) {
  return by == 0.0 ? 0.0 : value / by;
}

double request_weighted(std::span<const AcceptCounts> prompts, std::span<const int32_t> counts) {
  double lengths = 0.0;
  double requests = 0.0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    lengths += counts[i] * prompts[i].length_sum;
    requests += counts[i] * static_cast<double>(prompts[i].requests);
  }
  return quotient(lengths, requests);
}

double token_weighted(std::span<const AcceptCounts> prompts, std::span<const int32_t> counts) {
  double emitted = 0.0;
  double steps = 0.0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    emitted += counts[i] * static_cast<double>(prompts[i].emitted);
    steps += counts[i] * static_cast<double>(prompts[i].steps);
  }
  return quotient(emitted, steps);
}

}  // namespace

void AcceptCounts::add(const scheduler::RequestReport& report) {
  if (report.steps == 0) return;
  // The first token comes from the prompt.
  const int64_t from_steps = report.completion_tokens - 1;
  ++requests;
  steps += report.steps;
  emitted += from_steps;
  drafted += report.drafted;
  length_sum += static_cast<double>(from_steps) / static_cast<double>(report.steps);
  for (size_t depth = 0; depth < accepted_at_depth.size(); ++depth)
    accepted_at_depth[depth] += report.accepted_at_depth[depth];
}

AcceptFigures accept_figures(std::span<const AcceptCounts> prompts, uint64_t seed) {
  AcceptFigures figures;
  std::vector<AcceptCounts> counted;
  AcceptCounts total;
  for (const AcceptCounts& prompt : prompts) {
    if (prompt.requests == 0) continue;
    counted.push_back(prompt);
    total.requests += prompt.requests;
    total.steps += prompt.steps;
    total.drafted += prompt.drafted;
    for (size_t depth = 0; depth < total.accepted_at_depth.size(); ++depth)
      total.accepted_at_depth[depth] += prompt.accepted_at_depth[depth];
  }
  figures.requests = total.requests;
  figures.steps = total.steps;
  const auto steps = static_cast<double>(total.steps);
  figures.rows_per_step = counted.empty() ? 0.0 : 1.0 + static_cast<double>(total.drafted) / steps;
  figures.request_weighted = bootstrap(
      counted.size(), [&](std::span<const int32_t> counts) { return request_weighted(counted, counts); },
      seed);
  figures.token_weighted = bootstrap(
      counted.size(), [&](std::span<const int32_t> counts) { return token_weighted(counted, counts); }, seed);
  double reached = steps;
  for (int64_t accepted : total.accepted_at_depth) {
    if (accepted == 0) break;
    figures.unconditional.push_back(static_cast<double>(accepted) / steps);
    figures.conditional.push_back(static_cast<double>(accepted) / reached);
    reached = static_cast<double>(accepted);
  }
  return figures;
}

LengthRatio length_ratio(std::span<const AcceptCounts> arm, std::span<const AcceptCounts> baseline,
                         uint64_t seed) {
  FT_CHECK(arm.size() == baseline.size(), arm.size(), baseline.size());
  LengthRatio ratio;
  ratio.request_weighted = bootstrap(
      arm.size(),
      [&](std::span<const int32_t> counts) {
        return quotient(request_weighted(arm, counts), request_weighted(baseline, counts));
      },
      seed);
  ratio.token_weighted = bootstrap(
      arm.size(),
      [&](std::span<const int32_t> counts) {
        return quotient(token_weighted(arm, counts), token_weighted(baseline, counts));
      },
      seed);
  return ratio;
}

}  // namespace ft::eval
