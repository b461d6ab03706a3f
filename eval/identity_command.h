// `foretoken-eval identity`: runs the identity grid and counts the bytes that differ from plain solo
// decoding. The answer has to be none.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "eval/identity_grid.h"
#include "eval/session.h"

namespace ft::eval {

struct IdentityOptions {
  SessionOptions session;    // cpu.threads is not used: each cell has its own number
  std::string second_model;  // another checkpoint, with another drafter; "" = none
  std::string prompts;       // JSON Lines, see read_domain_prompts
  int64_t tokens = 200'000;  // compared at least; every cell is run at least once
  int64_t max_tokens = 48;   // of a completion; those that are to be preempted have more
  int every = 1;             // only every n-th cell, for a quick look
  std::string cells;         // only cells whose name contains this
  std::string json;          // also written here when set
};

// What one cell did.
struct IdentityResult {
  std::string model;
  std::string cell;
  int64_t requests = 0;
  int64_t tokens = 0;      // compared
  int64_t mismatches = 0;  // tokens, and ends for another reason
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t prefix_hits = 0;  // requests that found a part of their prompt
  int64_t cached_tokens = 0;
  int64_t preemptions = 0;
  int64_t canary_checks = 0;
  int64_t canary_mismatches = 0;

  bool clean() const { return mismatches == 0 && canary_mismatches == 0; }
};

// Runs the grid, cell by cell; `on_result` is called after each. kInternal where a cell did not exercise what
// it is meant to: no prefix hit, no preemption, no canary check.
Result<std::vector<IdentityResult>> run_identity_grid(
    const IdentityOptions& options, const std::function<void(const IdentityResult&)>& on_result);

// The whole command: a line per cell and the total on `out`. `clean`: whether nothing differed.
Result<void> run_identity(const IdentityOptions& options, std::FILE* out, bool* clean);

}  // namespace ft::eval
