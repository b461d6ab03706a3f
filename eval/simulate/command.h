// `foretoken-eval simulate`: a deployment that need not exist, under the real scheduler, in virtual time.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/results/result_file.h"

namespace ft::eval {

struct SimulateOptions {
  std::string preset;  // a study (studies.h); the rest is for a deployment of one's own
  int64_t study_steps = 200;

  // V4-Flash on the stated hardware of the presets: "plain", "mtp", "dspark" or "tree". Or, where this is "":
  std::string stated;
  // Results of `accept` on the machine that is simulated: acceptance is drawn from one of their cells, steps
  // cost what they cost in all of them.
  std::vector<std::string> recorded;
  // Time between two steps beyond what was recorded: a server hands tokens to clients, which accept does not.
  double overhead_ms = 0.0;
  std::string cell;  // the first one whose name contains this
  int32_t replicas = 1;
  int32_t requests_max = 8;               // that a replica decodes at the same time
  int64_t tokens_max = int64_t{1} << 30;  // of its cache
  int32_t prefill_chunk = 128;
  int32_t tree_nodes = 0;  // rows per step; 0 = the scheduler decides

  // Requests: drawn, or those of a trace.
  std::string arrivals = "poisson";
  std::vector<double> rates;  // requests per second, each a level
  int32_t requests = 100;
  int64_t prompt_tokens = 32;
  int64_t completion_tokens = 64;
  std::string replay;  // a file for read_trace; of a result of `load` every level is replayed and compared
  uint64_t seed = 1;
  std::string out;
  std::vector<std::string> command;
};

Result<ResultFile> run_simulation(const SimulateOptions& options, std::FILE* progress);

// The whole command: simulate.json, .html, .md and .csv in options.out.
Result<void> run_simulate(const SimulateOptions& options, std::FILE* out);

}  // namespace ft::eval
