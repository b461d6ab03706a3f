#include "eval/accept/figures.h"

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

// A ratio of sums over prompts, with its interval.
template <class Part, class Whole>
Interval ratio_of_sums(std::span<const AcceptCounts> prompts, Part part, Whole whole, uint64_t seed) {
  return bootstrap(
      prompts.size(),
      [&](std::span<const int32_t> counts) {
        double parts = 0.0;
        double wholes = 0.0;
        for (size_t i = 0; i < prompts.size(); ++i) {
          parts += counts[i] * static_cast<double>(part(prompts[i]));
          wholes += counts[i] * static_cast<double>(whole(prompts[i]));
        }
        return quotient(parts, wholes);
      },
      seed);
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
  for (size_t depth = 0; depth < accepted_at_depth.size(); ++depth) {
    drafted_at_depth[depth] += report.drafted_at_depth[depth];
    accepted_at_depth[depth] += report.accepted_at_depth[depth];
  }
  for (size_t i = 0; i < histogram.size(); ++i) histogram[i] += report.accepted_histogram[i];
}

void AcceptCounts::add(const AcceptCounts& other) {
  requests += other.requests;
  steps += other.steps;
  emitted += other.emitted;
  drafted += other.drafted;
  length_sum += other.length_sum;
  for (size_t depth = 0; depth < accepted_at_depth.size(); ++depth) {
    drafted_at_depth[depth] += other.drafted_at_depth[depth];
    accepted_at_depth[depth] += other.accepted_at_depth[depth];
  }
  for (size_t i = 0; i < histogram.size(); ++i) histogram[i] += other.histogram[i];
}

AcceptFigures accept_figures(std::span<const AcceptCounts> prompts, uint64_t seed) {
  AcceptFigures figures;
  std::vector<AcceptCounts> counted;
  AcceptCounts total;
  for (const AcceptCounts& prompt : prompts) {
    if (prompt.requests == 0) continue;
    counted.push_back(prompt);
    total.add(prompt);
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
  const auto emitted = [](const AcceptCounts& c) { return c.emitted; };
  const auto rows = [](const AcceptCounts& c) { return c.steps + c.drafted; };
  const auto all_steps = [](const AcceptCounts& c) { return c.steps; };
  figures.accepted_per_row = ratio_of_sums(counted, emitted, rows, seed);
  for (size_t depth = 0; depth < total.accepted_at_depth.size(); ++depth) {
    if (total.accepted_at_depth[depth] == 0) break;
    const auto accepted = [depth](const AcceptCounts& c) { return c.accepted_at_depth[depth]; };
    const auto reached = [depth](const AcceptCounts& c) {
      return depth == 0 ? c.steps : c.accepted_at_depth[depth - 1];
    };
    figures.unconditional.push_back(ratio_of_sums(counted, accepted, all_steps, seed));
    figures.conditional.push_back(ratio_of_sums(counted, accepted, reached, seed));
  }
  for (size_t i = 0; i <= figures.unconditional.size(); ++i)
    figures.histogram.push_back(quotient(static_cast<double>(total.histogram[i]), steps));
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
