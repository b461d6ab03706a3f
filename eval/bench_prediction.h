// `foretoken-eval bench prediction`: what a client's prediction of a reply is worth.
#pragma once

#include <cstdio>
#include <vector>

#include "eval/bench_structured.h"

namespace ft::eval {

struct BenchPredictionOptions {
  BenchDraftsOptions drafts;
  double right = 0.9;  // part of a reply's tokens that its prediction has right
};

// A text of which each token is, with probability 1 - `right`, another one, left out, or behind one that is put in.
std::vector<int32_t> alter(const std::vector<int32_t>& tokens, double right, int32_t vocab, uint64_t seed);

// Each reply is predicted by itself, altered. Arms: no drafts; the drafter; the drafter with predictions.
Result<void> run_bench_prediction(const BenchPredictionOptions& options, std::FILE* out);

}  // namespace ft::eval
