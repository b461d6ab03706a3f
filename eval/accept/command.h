// `foretoken-eval accept`: how many tokens a verify step emits, over a grid of ways to speculate, on the same
// prompts and seeds.
#pragma once

#include <cstdio>

#include "eval/accept/cell_runner.h"
#include "eval/accept/options.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// Runs what the journal in options.out lacks, cell by cell, and returns the whole result. Progress goes to
// `progress`, null: nowhere. kInternal if coupled cells of the same prompts and seeds produced different
// tokens.
Result<ResultFile> run_accept_grid(const AcceptOptions& options, std::FILE* progress);

// The whole command: accept.json, .html, .md and .csv in options.out, and the table of cells on `out`.
Result<void> run_accept(const AcceptOptions& options, std::FILE* out);

}  // namespace ft::eval
