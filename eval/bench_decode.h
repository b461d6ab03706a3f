// `foretoken-eval bench decode`: tokens per second of several ways to run the same prompts, as ratios within
// one run.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/session.h"

namespace ft::eval {

struct BenchDecodeOptions {
  std::string model;
  std::string prompts;  // JSON Lines, see read_prompts
  std::string mode = "official";
  // What is compared, see parse_arm; the first is the baseline of the ratios.
  std::vector<std::string> arms = {"cpu/none/1", "cpu/auto/4", "cpu/auto/6", "cpu/auto/8",
                                   "cpu/auto/adaptive"};
  CpuOptions cpu;
  std::string prefill_gemm = "invariant";
  int32_t concurrency = 1;
  int64_t max_tokens = 64;
  double temperature = 0.0;
  int rounds = 5;    // every arm once per round, so that a disturbance meets all of them
  std::string json;  // also written here when set
};

// Prints a table on `out`: median tokens/s over the rounds, and the median and range of the per-round ratio
// to the baseline. Every arm must produce the same tokens: kInternal otherwise.
Result<void> run_bench_decode(const BenchDecodeOptions& options, std::FILE* out);

}  // namespace ft::eval
