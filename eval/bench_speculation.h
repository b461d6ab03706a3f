// `foretoken-eval bench speculation`: throughput with adaptive speculation over throughput without, by number
// of requests at a time.
#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "eval/session.h"

namespace ft::eval {

struct BenchSpeculationOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines, see read_domain_prompts; taken in turn, so that content is mixed
  std::vector<int32_t> concurrencies = {1, 2, 4, 8, 16, 32};
  std::string drafter = "auto";
  int32_t tree_nodes = 0;  // of the arm that speculates; 0 = adaptive
  int32_t requests = 8;    // per round, at least the concurrency
  int64_t max_tokens = 64;
  double temperature = 0.7;
  double top_p = 1.0;
  uint64_t seed = 0;
  bool ignore_eos = false;
  int rounds = 7;
  // Chance per depth that a drafted token is right (ScriptedDrafter); 0 = the drafter's own tokens.
  double scripted_rate = 0.0;
  std::string json;                  // also written here when set
  std::string out;                   // folder of a result with its page; "" = none
  std::vector<std::string> command;  // the words of the command line, for the result
};

// What one arm did in the rounds of one level.
struct SpeculationFigures {
  std::vector<double> tokens_per_second;  // per round
  double mean_accepted_length = 0.0;      // of the last round, as are the next
  double rows_per_step = 0.0;
  double drafting_share = 0.0;  // of its steps, those that verified a draft
};

struct SpeculationLevel {
  int32_t concurrency = 1;
  std::vector<double> ratios;  // per round: with / without
  SpeculationFigures with;
  SpeculationFigures without;
};

// One loop per arm serves all levels, as a server would under varying load. Each level begins with a round
// that is not counted. In the others the arms take turns of a tenth of a second, so that a machine that
// changes its speed does so for both. Both must produce the same tokens: kInternal otherwise. Prefixes are
// not cached.
Result<std::vector<SpeculationLevel>> bench_speculation(const BenchSpeculationOptions& options);

// The whole command, with a table on `out`.
Result<void> run_bench_speculation(const BenchSpeculationOptions& options, std::FILE* out);

}  // namespace ft::eval
