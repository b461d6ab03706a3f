// What a step meant for its requests: their reports, the engine's counters, and the tokens that go out.
#pragma once

#include "scheduler/engine_stats.h"
#include "scheduler/executor.h"
#include "scheduler/running_request.h"

namespace ft::scheduler {

// Counts what the step did for a request that emitted something.
void account(RunningRequest& running, const RequestOutcome& outcome, EngineStats& stats);

// Hands the log probabilities of its prompt, as far as the step has read it, to the request's stream.
void publish_prompt(RequestState& state, const RequestOutcome& outcome);

struct StepTimes {
  double draft_seconds = 0.0;
  double verify_seconds = 0.0;
  double commit_seconds = 0.0;
};

// Hands the new tokens to the request's stream, all but one that is not to be sent. Does not notify.
void publish(const RunningRequest& running, const RequestOutcome& outcome, const StepTimes& times);

}  // namespace ft::scheduler
