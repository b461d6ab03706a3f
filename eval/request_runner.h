// Runs a list of requests through an engine, so many at a time, and adds up what came of them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "scheduler/engine.h"

namespace ft::eval {

// One completion: its tokens (a stop token included) and the engine's report.
struct Completion {
  std::vector<int32_t> tokens;
  scheduler::RequestReport report;
  double first_token_seconds = 0.0;  // from submission
};

struct RequestRun {
  std::vector<Completion> completions;  // in the order of the requests
  double seconds = 0.0;                 // wall clock of all of them
};

// Totals of a run. Mean accepted length = tokens emitted per verify step, the bonus token included (the first
// token of a request comes from its prompt and has no step).
struct RunTotals {
  int64_t requests = 0;
  int64_t tokens = 0;
  int64_t steps = 0;
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t forced = 0;  // of these, tokens that a constraint had forced
  int64_t cached_tokens = 0;
  int64_t preemptions = 0;
  std::array<int64_t, scheduler::kFallbacks> fallbacks{};
  double seconds = 0.0;  // wall clock, prompts included
  // Of the requests' verify steps; a step that several requests share counts in full for each.
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;

  double decode_seconds() const { return draft_seconds + verify_seconds + commit_seconds; }
  double mean_accepted_length() const {
    return steps == 0 ? 0.0 : 1.0 + static_cast<double>(accepted) / static_cast<double>(steps);
  }
};

RunTotals totals_of(const RequestRun& run);

// Submits the requests in order, at most `concurrency` unfinished ones at a time, and waits for all. Errors:
// what Engine::submit says, and kInternal for a request that failed; both name the request.
Result<RequestRun> run_requests(scheduler::Engine& engine,
                                std::span<const scheduler::GenerateRequest> requests, int32_t concurrency);

// Reads what a request has produced so far; true when it has ended.
bool drain(scheduler::TokenStream& stream, Completion& completion);

// kInternal, naming the request, if one of them ended in an error.
Result<void> check_completions(std::span<const scheduler::GenerateRequest> requests,
                               std::span<const Completion> completions);

}  // namespace ft::eval
