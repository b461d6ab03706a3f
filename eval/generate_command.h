// `foretoken-eval generate`: completions of a file of prompts through the engine, with what speculation did
// for each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/session.h"
#include "scheduler/engine.h"

namespace ft::eval {

struct GenerateOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines, see read_prompts
  std::string out;  // JSON Lines {"index","tokens","text","finish_reason","steps","drafted","accepted"}, in
                    // input order
  int64_t max_tokens = 256;
  double temperature = 0.0;
  double top_p = 1.0;
  uint64_t seed = 0;  // prompt i samples with seed + i
  std::string drafter = "auto";
  int32_t tree_nodes = 6;  // rows verified per step, anchor included
  std::string tree = "best-first";
  int32_t concurrency = 8;
  bool ignore_eos = false;
};

// One completion: its tokens (a stop token included) and the engine's report.
struct Completion {
  std::vector<int32_t> tokens;
  scheduler::RequestReport report;
};

// Totals of a run. Mean accepted length = tokens emitted per verify step, the bonus token included (the first
// token of a request comes from its prompt and has no step).
struct GenerateSummary {
  int64_t requests = 0;
  int64_t tokens = 0;
  int64_t steps = 0;
  int64_t drafted = 0;
  int64_t accepted = 0;
  double seconds = 0.0;  // wall clock, prompts included
  // Of the requests' verify steps; a step that several requests share counts in full for each.
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;
  double decode_seconds() const { return draft_seconds + verify_seconds + commit_seconds; }

  double mean_accepted_length() const {
    return steps == 0 ? 0.0 : 1.0 + static_cast<double>(accepted) / static_cast<double>(steps);
  }
};

Result<draft::TreeShape> parse_tree_shape(const std::string& name);

// Engine options for these prompts: room for `concurrency` of them, nothing more.
Result<scheduler::EngineOptions> engine_options(const GenerateOptions& options, const ModelConfig& config,
                                                const std::vector<std::vector<int32_t>>& prompts);

// Runs all prompts, at most `concurrency` at a time, submitted in order. Results in input order.
Result<std::vector<Completion>> generate(scheduler::Engine& engine, const GenerateOptions& options,
                                         const std::vector<std::vector<int32_t>>& prompts,
                                         GenerateSummary* summary);

// The whole command. The summary goes to `summary`.
Result<void> run_generate(const GenerateOptions& options, GenerateSummary* summary);

}  // namespace ft::eval
