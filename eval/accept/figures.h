// Figures of acceptance experiments: what requests did per verify step, with intervals over prompts. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "eval/statistics.h"
#include "scheduler/request.h"

namespace ft::eval {

// What one arm did with one prompt, summed over its seeds and phases.
struct AcceptCounts {
  int64_t requests = 0;     // with at least one verify step
  int64_t steps = 0;        // verify steps
  int64_t emitted = 0;      // tokens of these steps, the bonus tokens included
  int64_t drafted = 0;      // verified draft rows, anchors excluded
  double length_sum = 0.0;  // over requests: emitted per step
  std::array<int64_t, scheduler::kReportDepth> drafted_at_depth{};   // steps that verified a node there
  std::array<int64_t, scheduler::kReportDepth> accepted_at_depth{};  // steps that accepted a token there
  std::array<int64_t, scheduler::kReportDepth + 1> histogram{};      // steps by number of accepted drafts

  void add(const scheduler::RequestReport& report);
  void add(const AcceptCounts& other);
};

struct AcceptFigures {
  int64_t requests = 0;
  int64_t steps = 0;
  // Mean accepted length, the bonus token included: each request counts once, or each step does.
  Interval request_weighted;
  Interval token_weighted;
  double rows_per_step = 0.0;  // verified, the anchor included
  // Emitted tokens per verified row, the bonus token and the anchor included: 1 where nothing was drafted.
  Interval accepted_per_row;
  // Acceptance rate at depth d + 1, up to the deepest depth that was accepted: among all steps
  // (unconditional, also the survival curve), and among the steps that accepted at depth d (conditional).
  std::vector<Interval> unconditional;
  std::vector<Interval> conditional;
  // Share of steps that accepted d drafts.
  std::vector<double> histogram;
};

// Intervals resample prompts; prompts without a step do not count.
AcceptFigures accept_figures(std::span<const AcceptCounts> prompts, uint64_t seed);

struct LengthRatio {
  Interval request_weighted;
  Interval token_weighted;
};

// Mean accepted lengths of `arm` over those of `baseline`, paired: element i of both is the same prompt.
LengthRatio length_ratio(std::span<const AcceptCounts> arm, std::span<const AcceptCounts> baseline,
                         uint64_t seed);

}  // namespace ft::eval
