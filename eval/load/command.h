// `foretoken-eval load`: requests to a running server at given moments, whatever it answers (an open loop),
// or so many at a time; what came back and when.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/load/load_figures.h"

namespace ft::eval {

struct LoadOptions {
  std::string url;
  std::string model;         // its name there; "" = the first that it lists
  std::string api_key_file;  // its first line is sent as a bearer token; "" = none
  std::string prompts;       // JSON Lines, taken in turn
  // The levels, one after the other: requests per second, or requests at a time, or the arrivals of a trace.
  std::vector<double> rates;
  std::vector<int32_t> concurrencies;
  std::string replay;  // a file of arrivals, see read_trace
  int32_t replay_level = 0;
  std::string arrivals = "poisson";
  int32_t requests = 100;  // of a level
  int32_t warm_up = 10;    // sent first, one after the other; they do not count
  int64_t max_tokens = 128;
  double temperature = 0.0;
  uint64_t seed = 0;
  bool ignore_eos = false;
  double timeout_seconds = 600.0;
  double ttft_ms = 0.0;  // the service level; 0 = no limit
  double tpot_ms = 0.0;
  std::string out;  // folder
  std::vector<std::string> command;
};

Result<ResultFile> run_load_levels(const LoadOptions& options, std::FILE* progress);

// The whole command: load.json, .html, .md, .csv and load.requests.jsonl in options.out.
Result<void> run_load(const LoadOptions& options, std::FILE* out);

}  // namespace ft::eval
