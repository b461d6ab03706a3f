// Runs requests on an engine's loop in the caller's own thread: for experiments that bring a drafter of their
// own, or look at what the loop has learned.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "eval/request_runner.h"
#include "scheduler/engine_loop.h"

namespace ft::eval {

class LoopRunner {
 public:
  // Puts another drafter around or in place of the one that the options name.
  using WrapDrafter = std::function<std::unique_ptr<draft::Drafter>(std::unique_ptr<draft::Drafter>)>;

  // Errors as Engine::create. `backend` and `checkpoint` must outlive it.
  static Result<std::unique_ptr<LoopRunner>> make(Backend& backend, const Checkpoint& checkpoint,
                                                  const scheduler::EngineOptions& options,
                                                  const WrapDrafter& wrap = {});

  // As run_requests. kTooLarge, naming the request, for one that exceeds the context.
  Result<RequestRun> run(std::span<const scheduler::GenerateRequest> requests, int32_t concurrency);

  const scheduler::EngineLoop& loop() const { return loop_; }
  scheduler::EngineLoop& loop() { return loop_; }

 private:
  LoopRunner(Backend& backend, const Checkpoint& checkpoint, const scheduler::EngineOptions& options,
             std::unique_ptr<draft::Drafter> drafter)
      : loop_(backend, checkpoint, options, std::move(drafter)) {}

  scheduler::EngineLoop loop_;
};

}  // namespace ft::eval
