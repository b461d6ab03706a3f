// `foretoken-eval bench structured`: what a grammar that drafts is worth, on replies bound to a JSON schema.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "eval/session.h"

namespace ft::eval {

struct BenchDraftsOptions {
  SessionOptions session;
  std::string prompts;  // JSON Lines, see read_prompts
  std::string drafter = "auto";
  int32_t tree_nodes = 16;  // rows of a step per request at most; 0: the scheduler decides
  int32_t requests = 40;    // of the prompts
  int32_t concurrency = 1;
  int64_t max_tokens = 256;
  double temperature = 1.0;
  uint64_t seed = 0;
  bool ignore_eos = false;
  int rounds = 3;
  std::string json;  // also written here when set
};

struct BenchStructuredOptions {
  BenchDraftsOptions drafts;
  std::string schema;  // a file
};

// Arms: no drafts; the drafter as if it knew no grammar; prompt lookup with the grammar; the drafter with it.
Result<void> run_bench_structured(const BenchStructuredOptions& options, std::FILE* out);

}  // namespace ft::eval
