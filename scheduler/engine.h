// The engine: one thread that owns a loop (engine_loop.h) and all that it works on. submit() and TokenStream
// are the only crossings.
//
// No exception ends the thread. One in a step ends the requests that took part in it. After one that has left
// the cache half changed the engine serves nobody any more: it refuses what comes and says so in
// stats().engine_failed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

#include "core/weights.h"
#include "scheduler/engine_loop.h"
#include "scheduler/engine_stats.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"

namespace ft::scheduler {

class Engine {
 public:
  // Makes a loop as EngineLoop::make, with its errors, and starts the thread. `backend` and `checkpoint` must
  // outlive the engine.
  static Result<std::unique_ptr<Engine>> create(Backend& backend, const Checkpoint& checkpoint,
                                                const EngineOptions& options, const EngineParts& parts = {});
  // Cancels what is running, finishes every stream, joins the thread.
  ~Engine();

  // Hands a request over; tokens (a stop token included, as the last) arrive on the returned stream. Any
  // thread. Errors: kInvalidArgument (empty prompt, token outside the vocabulary, max_tokens < 1, sampling
  // values; the message names the field), kTooLarge (prompt + max_tokens beyond the context), kOverloaded
  // (queue full), kUnavailable (stopping, or failed for good).
  Result<std::shared_ptr<TokenStream>> submit(GenerateRequest request, std::function<void()> notify = {});

  EngineStats stats() const;
  const EngineOptions& options() const;  // with every default filled in
  std::string_view drafter_name() const;
  // Whether requests may ask for this drafter (SpeculationParams::drafter).
  bool offers(const draft::DrafterChoice& drafter) const;
  // Where the cost model comes from, for people; "" where it is not used.
  const std::string& costs_origin() const;

 private:
  struct Inbox;
  void run();
  Engine(std::unique_ptr<Inbox> inbox, std::unique_ptr<EngineLoop> loop);

  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<EngineLoop> loop_;
  std::jthread thread_;
};

}  // namespace ft::scheduler
