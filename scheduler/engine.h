// The engine: owns the model, its cache and the drafter, and runs the one loop in which everything is
// speculative.
//
//   inbox -> plan -> propose -> select -> forward -> verify -> commit -> observe -> apply -> publish
//
// One thread owns all model state. submit() and TokenStream are the only crossings.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

#include "core/model.h"
#include "scheduler/engine_options.h"
#include "scheduler/engine_stats.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"

namespace ft::scheduler {

class EngineLoop;

class Engine {
 public:
  // Builds the model and the drafter and starts the thread. `backend` and `checkpoint` must outlive the
  // engine.
  // Errors: a drafter that the checkpoint cannot serve, options out of range (the message names the option).
  static Result<std::unique_ptr<Engine>> create(Backend& backend, const Checkpoint& checkpoint,
                                                const EngineOptions& options);
  // Cancels what is running, finishes every stream, joins the thread.
  ~Engine();

  // Hands a request over; tokens (a stop token included, as the last) arrive on the returned stream. Any
  // thread. Errors: kInvalidArgument (empty prompt, token outside the vocabulary, max_tokens < 1, sampling
  // values; the message names the field), kTooLarge (prompt + max_tokens beyond the context), kOverloaded
  // (queue full), kUnavailable (stopping).
  Result<std::shared_ptr<TokenStream>> submit(GenerateRequest request, std::function<void()> notify = {});

  EngineStats stats() const;
  const EngineOptions& options() const;  // with every default filled in
  std::string_view drafter_name() const;
  // Whether requests may ask for this drafter (SpeculationParams::drafter).
  bool offers(draft::DrafterKind kind) const;
  // Where the cost model comes from, for people; "" where it is not used.
  const std::string& costs_origin() const;

 private:
  struct Inbox;
  Engine(std::unique_ptr<Inbox> inbox, std::unique_ptr<EngineLoop> loop);

  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<EngineLoop> loop_;
  std::jthread thread_;
};

}  // namespace ft::scheduler
