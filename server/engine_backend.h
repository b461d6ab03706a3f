// The real engine behind the server's interface, with what must outlive it.
#pragma once

#include <memory>

#include "core/backend.h"
#include "core/weights.h"
#include "scheduler/engine.h"
#include "server/generation/generation_backend.h"

namespace ft::server {

class EngineBackend : public GenerationBackend {
 public:
  EngineBackend(std::unique_ptr<Backend> backend, std::unique_ptr<Checkpoint> checkpoint,
                std::unique_ptr<scheduler::Engine> engine)
      : backend_(std::move(backend)), checkpoint_(std::move(checkpoint)), engine_(std::move(engine)) {}

  Result<std::shared_ptr<scheduler::TokenStream>> submit(scheduler::GenerateRequest request,
                                                         std::function<void()> notify) override;
  scheduler::EngineStats stats() const override;

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<scheduler::Engine> engine_;  // last, so that it is gone first
};

}  // namespace ft::server
