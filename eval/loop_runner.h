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
  // As EngineLoop::make. `backend` and `checkpoint` must outlive it.
  static Result<std::unique_ptr<LoopRunner>> make(Backend& backend, const Checkpoint& checkpoint,
                                                  const scheduler::EngineOptions& options,
                                                  const scheduler::EngineParts& parts = {});

  // Requests that run a step at a time, so that two loops can take turns. Must not outlive the runner or the
  // requests.
  class Run {
   public:
    Run(LoopRunner& runner, std::span<const scheduler::GenerateRequest> requests, int32_t concurrency);
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    bool done() const { return next_ == requests_.size() && running_.empty(); }
    // Requests that have ended, of 1.
    double share_done() const {
      return requests_.empty()
                 ? 1.0
                 : static_cast<double>(next_ - running_.size()) / static_cast<double>(requests_.size());
    }
    // One step of the loop, or more until `seconds` have passed or all is done. kTooLarge, naming the
    // request, for one that exceeds the context.
    Result<void> go_on(double seconds = 0.0);
    // What came of all of them; `seconds` is what go_on() took. Errors as check_completions. Once, when done.
    Result<RequestRun> result();

   private:
    struct Running {
      size_t index;
      std::shared_ptr<scheduler::TokenStream> stream;
    };
    Result<void> submit();

    scheduler::EngineLoop& loop_;
    std::span<const scheduler::GenerateRequest> requests_;
    size_t concurrency_;
    RequestRun run_;
    std::vector<Running> running_;
    size_t next_ = 0;
  };

  // As run_requests: a Run from beginning to end.
  Result<RequestRun> run(std::span<const scheduler::GenerateRequest> requests, int32_t concurrency);

  const scheduler::EngineLoop& loop() const { return *loop_; }
  scheduler::EngineLoop& loop() { return *loop_; }

 private:
  explicit LoopRunner(std::unique_ptr<scheduler::EngineLoop> loop) : loop_(std::move(loop)) {}

  std::unique_ptr<scheduler::EngineLoop> loop_;
};

}  // namespace ft::eval
