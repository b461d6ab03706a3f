// An engine without a model for the server: every request gets the same tokens, one step at a time, when the caller
// says so. For measuring what the server itself costs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "server/generation/generation_backend.h"

namespace ft::eval {

class ScriptedEngine final : public server::GenerationBackend {
 public:
  // Every reply says `script` again and again, `tokens_per_step` tokens a step.
  ScriptedEngine(std::vector<int32_t> script, int32_t tokens_per_step)
      : script_(std::move(script)), tokens_per_step_(tokens_per_step) {}

  // Any thread.
  Result<std::shared_ptr<scheduler::TokenStream>> submit(scheduler::GenerateRequest request,
                                                         std::function<void()> notify) override;
  scheduler::EngineStats stats() const override { return {}; }

  // Until `count` requests are there; false where they are not within 30 s. The thread that calls this and the rest is
  // the engine's thread.
  bool wait_for_requests(size_t count);
  // One step of all requests. `before` is called when they are about to get their tokens.
  void step(const std::function<void()>& before);
  // Ends all requests.
  void finish();

 private:
  struct Running {
    std::shared_ptr<scheduler::TokenStream> stream;
    int64_t prompt_tokens = 0;
    int64_t tokens = 0;
    int32_t steps = 0;
  };

  const std::vector<int32_t> script_;
  const int32_t tokens_per_step_;
  std::mutex mutex_;  // of running_
  std::condition_variable submitted_;
  std::vector<Running> running_;
};

}  // namespace ft::eval
