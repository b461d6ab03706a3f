// Several replicas in one virtual time: which of them takes a request, and what came of all.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "eval/simulate/replica.h"

namespace ft::eval {

// Everything that a simulated deployment consists of.
struct Deployment {
  VirtualModel model;
  StepCosts costs;
  AcceptanceSource acceptance;
  ReplicaOptions replica;
  int32_t replicas = 1;
};

// An open loop: requests come at their moments, each to the replica with the fewest unfinished ones (the
// first of several). Returns them in the order in which they ended. `advance`: how far it is, of 1.
std::vector<LoadRequest> run_open_loop(const Deployment& deployment, std::span<const VirtualRequest> requests,
                                       uint64_t seed, const std::function<void(double)>& advance = {});

// A closed loop: `users` at each replica, each of whom sends the next request when the last one has ended.
struct ClosedLoop {
  int32_t users = 1;
  int64_t prompt_tokens = 1;  // 1: prompts are read elsewhere
  int64_t completion_tokens =
      512;  // on average; they are spread evenly over half to one and a half times as many
  int64_t warm_up_steps = 100;  // in which the scheduler learns; they do not count
  int64_t steps = 200;
};

struct ClosedLoopFigures {
  double tokens_per_second = 0.0;  // of one replica
  double per_user = 0.0;           // tokens per second that one user sees
  double rows_per_request = 0.0;   // verified per step, anchor included
  double accepted_length = 0.0;    // tokens per step, bonus included
  double step_seconds = 0.0;
  double drafting = 0.0;  // of the requests' steps, those that verified a draft
};

// Of one replica, which stands for all: they share nothing.
ClosedLoopFigures run_closed_loop(const Deployment& deployment, const ClosedLoop& loop, uint64_t seed);

}  // namespace ft::eval
