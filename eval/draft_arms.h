// The same requests with different sources of drafts, side by side: the steps they take, their time, and that
// their tokens are the same.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "eval/report.h"
#include "eval/request_runner.h"

namespace ft::eval {

struct DraftArm {
  std::string name;
  scheduler::Engine* engine = nullptr;  // must outlive the comparison
  std::vector<scheduler::GenerateRequest> requests;
};

// Runs every arm `rounds` times, in turns, after once for warming up. The first arm is the baseline of the ratios.
// kInternal if an arm produced other tokens than the first.
Result<void> compare_arms(const std::vector<DraftArm>& arms, int32_t concurrency, int rounds, Report& report);

}  // namespace ft::eval
