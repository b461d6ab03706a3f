// `foretoken-eval generate`: completions of a file of prompts through the engine, with what speculation did
// for each. The flags that shape an engine are shared with other commands.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/request_runner.h"
#include "eval/session.h"
#include "scheduler/engine.h"

namespace ft::eval {

struct GenerateOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines, see read_prompts
  // JSON Lines {"index","tokens","text","finish_reason","steps","drafted","accepted","cached","preemptions"},
  // in input order
  std::string out;
  int64_t max_tokens = 256;
  double temperature = 0.0;
  double top_p = 1.0;
  uint64_t seed = 0;  // prompt i samples with seed + i
  std::string drafter = "auto";
  int32_t tree_nodes = 0;  // rows verified per step, anchor included; 0 = the scheduler decides
  std::string tree = "best-first";
  std::string acceptance = "coupled";
  std::string selection = "global";
  int32_t concurrency = 8;
  bool ignore_eos = false;
  int64_t kv_cache_tokens = 0;    // tokens in the cache; 0 = room for `concurrency` times the longest request
  int64_t prefix_cache_mib = 64;  // memory for states of prompts; 0 = none are kept
  double canary_rate = 0.0;
  std::string schema;     // file of a JSON schema that every reply keeps to; "": none
  std::string state_dir;  // where the engine keeps what it has learned; "" = nowhere
};

Result<draft::TreeShape> parse_tree_shape(const std::string& name);
Result<scheduler::Acceptance> parse_acceptance(const std::string& name);

// Engine options with room for `concurrency` of these prompts. kInvalidArgument for unknown names and for
// combinations that are not offered. Global selection is not exact under rejection acceptance, so rejection
// without a named selection means stepwise; stepwise and two-step need rejection.
Result<scheduler::EngineOptions> engine_options(const GenerateOptions& options, const ModelConfig& config,
                                                const std::vector<std::vector<int32_t>>& prompts);

// The requests of these prompts, in order; completions are shortened to the context.
std::vector<scheduler::GenerateRequest> make_requests(const GenerateOptions& options, int64_t context,
                                                      const std::vector<std::vector<int32_t>>& prompts);

// Runs all prompts, at most `concurrency` at a time, submitted in order. Results in input order.
Result<std::vector<Completion>> generate(scheduler::Engine& engine, const GenerateOptions& options,
                                         const std::vector<std::vector<int32_t>>& prompts, RunTotals* totals);

// What a run of `generate` did, for people.
struct GenerateSummary {
  RunTotals totals;
  std::string drafter;       // as the engine names it
  std::string costs_origin;  // "" where the scheduler does not decide
  int64_t canary_checks = 0;
  int64_t canary_mismatches = 0;
};
std::string summary_text(const GenerateOptions& options, const GenerateSummary& summary);

// The whole command. kInternal, after the completions were written, if the canary saw a difference.
Result<void> run_generate(const GenerateOptions& options, GenerateSummary* summary);

}  // namespace ft::eval
