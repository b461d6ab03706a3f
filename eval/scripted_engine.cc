#include "eval/scripted_engine.h"

#include <chrono>
#include <utility>

namespace ft::eval {

Result<std::shared_ptr<scheduler::TokenStream>> ScriptedEngine::submit(scheduler::GenerateRequest request,
                                                                       std::function<void()> notify) {
  auto stream = std::make_shared<scheduler::TokenStream>(request.max_tokens, std::move(notify));
  const std::lock_guard lock(mutex_);
  running_.push_back({stream, static_cast<int64_t>(request.prompt.size())});
  submitted_.notify_one();
  return stream;
}

bool ScriptedEngine::wait_for_requests(size_t count) {
  std::unique_lock lock(mutex_);
  return submitted_.wait_for(lock, std::chrono::seconds(30), [&] { return running_.size() >= count; });
}

void ScriptedEngine::step(const std::function<void()>& before) {
  const std::lock_guard lock(mutex_);
  before();
  for (Running& running : running_) {
    for (int32_t i = 0; i < tokens_per_step_; ++i) {
      scheduler::TokenEvent event;
      event.token = script_[static_cast<size_t>(running.tokens++) % script_.size()];
      event.step = running.steps;
      running.stream->push(std::move(event));
    }
    ++running.steps;
    running.stream->notify();
  }
}

void ScriptedEngine::finish() {
  const std::lock_guard lock(mutex_);
  for (Running& running : running_) {
    scheduler::RequestReport report;
    report.finish_reason = scheduler::FinishReason::kLength;
    report.prompt_tokens = running.prompt_tokens;
    report.completion_tokens = running.tokens;
    report.steps = running.steps;
    running.stream->finish(std::move(report));
  }
  running_.clear();
}

}  // namespace ft::eval
