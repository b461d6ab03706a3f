// `foretoken-eval quality`: what a checkpoint answers, and the proof that no setting of speed changes it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "eval/results/result_file.h"
#include "eval/session.h"

namespace ft::eval {

struct QualityOptions {
  SessionOptions session;
  std::string
      prompts;  // JSON Lines with "answer": right is a reply that contains it. Also scored for perplexity
  int64_t max_tokens = 256;
  double temperature = 0.0;  // of the comparison of settings; answers are always greedy
  uint64_t seed = 0;
  int32_t prompts_max = 0;  // evenly spread; 0 = all
  // Ways to run, "drafter/rows/concurrency", rows "adaptive" or a number: each is compared with plain
  // decoding, one request at a time.
  std::vector<std::string> settings = {"auto/6/8", "auto/adaptive/8", "ngram/6/8", "auto/12/3"};
  std::string golden_logits;  // a safetensors file as `logits` writes it, "" = none
  std::string golden_tokens;  // and the token lists that it is of
  std::string out;
  std::vector<std::string> command;
};

// {"same_tokens": [...], "answers": [...], "perplexity": {...}, "goldens": {...}} in the result's
// figures.checks. `same`: whether no token differs.
Result<ResultFile> run_quality_checks(const QualityOptions& options, std::FILE* progress, bool* same);

// The whole command: quality.json, .html, .md and .csv in options.out.
Result<void> run_quality(const QualityOptions& options, std::FILE* out, bool* same);

}  // namespace ft::eval
