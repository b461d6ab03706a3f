// `foretoken-eval accept`: how many tokens a verify step emits, by acceptance rule, tree and budget, on the
// same prompts and seeds.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/accept_report.h"
#include "eval/session.h"
#include "scheduler/engine_options.h"

namespace ft::eval {

struct AcceptOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines, see read_domain_prompts
  std::vector<double> temperatures = {0.0, 0.7, 1.0};
  int64_t max_tokens = 128;
  int seeds = 2;  // completions per prompt; one at temperature 0
  uint64_t seed = 0;
  std::string drafter = "auto";
  int32_t block = 0;  // drafted rows of a chain; 0 = the checkpoint's block, 5 where it has none
  int32_t concurrency = 8;
  std::string arms;  // only those whose name contains this; ratios are to the first of them
  // Steps at a temperature, from a cold start, after which predictions count towards the calibration's
  // figures.
  int64_t calibration_steps = 2000;
  std::string json;  // the figures are also written to these files; "" = to none
  std::string csv;
};

// One way to speculate.
struct AcceptArm {
  std::string name;
  scheduler::Acceptance acceptance = scheduler::Acceptance::kCoupled;
  draft::TreeShape shape = draft::TreeShape::kChain;
  int32_t rows = 0;  // verified per step, anchor included; 0 = the scheduler decides
};

// The arms, for drafts of `block` >= 1 tokens. First the paper's chain with rejection, which is the baseline;
// then the coupled chain, best-first trees of as many rows and of twice as many, and the adaptive scheduler.
std::vector<AcceptArm> accept_arms(int32_t block);

// Every arm completes every prompt with every seed. Before, one pass at each temperature lets the calibration
// see the content; it does not count. The calibration's error counts predictions from the first pass that
// begins after `calibration_steps`, or all if none does. kInternal if coupled arms produce different tokens,
// or any two arms at temperature 0.
Result<AcceptReport> run_accept_arms(const AcceptOptions& options);

// The whole command: a Markdown report on `out`, progress on stderr.
Result<void> run_accept(const AcceptOptions& options, std::FILE* out);

}  // namespace ft::eval
