// What the server needs of an engine, so that tests can script one without a model.
#pragma once

#include <functional>
#include <memory>

#include "core/error.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"

namespace ft::server {

class GenerationBackend {
 public:
  virtual ~GenerationBackend() = default;
  // As scheduler::Engine::submit: any thread; `notify` runs on the engine's thread and must not block.
  virtual Result<std::shared_ptr<scheduler::TokenStream>> submit(scheduler::GenerateRequest request,
                                                                 std::function<void()> notify) = 0;
  // Any thread.
  virtual scheduler::EngineStats stats() const = 0;
};

}  // namespace ft::server
