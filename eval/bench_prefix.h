// `foretoken-eval bench prefix`: what a second request with the same beginning saves.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "eval/accept/figures.h"
#include "eval/session.h"

namespace ft::eval {

struct BenchPrefixOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines that prefixes and suffixes are made of; "" = random tokens
  int64_t prefix_tokens = 2000;
  int64_t max_tokens = 64;
  double temperature = 0.7;
  uint64_t seed = 0;
  std::string drafter = "auto";
  int32_t tree_nodes = 6;  // fixed: the adaptive choice would depend on measured times
  int rounds = 7;
  std::string json;  // also written here when set
};

// One round: a fresh engine reads the first request, then the second, with and without a prefix cache.
struct PrefixRound {
  double first_seconds = 0.0;   // time to first token of the first request
  double second_seconds = 0.0;  // of the second request, after a hit
  double missed_seconds = 0.0;  // of the second request, without a prefix cache
  int64_t prompt_tokens = 0;    // of the second request
  int64_t cached_tokens = 0;
};

struct PrefixFigures {
  std::vector<PrefixRound> rounds;
  // Of the second requests: tokens per step after a hit and after a miss, and their ratio.
  AcceptFigures hit;
  AcceptFigures miss;
  LengthRatio hit_to_miss;
};

// kInternal if a second request's tokens differ between hit and miss, or if nothing was cached although the
// prefix spans a page.
Result<PrefixFigures> bench_prefix(const BenchPrefixOptions& options);

// The whole command, with a table on `out`.
Result<void> run_bench_prefix(const BenchPrefixOptions& options, std::FILE* out);

}  // namespace ft::eval
