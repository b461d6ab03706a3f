#include "eval/loop_runner.h"

#include "core/check.h"

namespace ft::eval {

using scheduler::Clock;

Result<std::unique_ptr<LoopRunner>> LoopRunner::make(Backend& backend, const Checkpoint& checkpoint,
                                                     const scheduler::EngineOptions& options,
                                                     const scheduler::EngineParts& parts) {
  auto loop = scheduler::EngineLoop::make(backend, checkpoint, options, parts);
  if (!loop) return tl::make_unexpected(loop.error());
  return std::unique_ptr<LoopRunner>(new LoopRunner(std::move(*loop)));
}

LoopRunner::Run::Run(LoopRunner& runner, std::span<const scheduler::GenerateRequest> requests,
                     int32_t concurrency)
    : loop_(*runner.loop_), requests_(requests), concurrency_(static_cast<size_t>(concurrency)) {
  run_.completions.resize(requests.size());
}

Result<void> LoopRunner::Run::submit() {
  const scheduler::GenerateRequest& request = requests_[next_];
  auto state = std::make_unique<scheduler::RequestState>();
  state->request = request;
  state->submitted = Clock::now();
  if (state->length_max() > loop_.options().context)
    return fail(ErrorCode::kTooLarge, "{}: {} tokens exceed the context of {}", request.id,
                state->length_max(), loop_.options().context);
  double& first_token = run_.completions[next_].first_token_seconds;
  state->stream = std::make_shared<scheduler::TokenStream>(
      state->request.max_tokens, [&first_token, submitted = state->submitted] {
        if (first_token == 0.0) first_token = scheduler::milliseconds(Clock::now() - submitted) / 1e3;
      });
  running_.push_back({next_++, state->stream});
  loop_.enqueue(std::move(state));
  return {};
}

Result<void> LoopRunner::Run::go_on(double seconds) {
  const auto started = Clock::now();
  const auto passed = [&] { return scheduler::milliseconds(Clock::now() - started) / 1e3; };
  do {
    while (next_ < requests_.size() && running_.size() < concurrency_)
      if (auto submitted = submit(); !submitted) return submitted;
    if (running_.empty()) break;
    FT_CHECK(loop_.step(), running_.size());
    std::erase_if(running_, [&](const Running& request) {
      return drain(*request.stream, run_.completions[request.index]);
    });
  } while (!done() && passed() < seconds);
  run_.seconds += passed();
  return {};
}

Result<RequestRun> LoopRunner::Run::result() {
  FT_CHECK(done());
  if (auto fine = check_completions(requests_, run_.completions); !fine)
    return tl::make_unexpected(fine.error());
  return std::move(run_);
}

Result<RequestRun> LoopRunner::run(std::span<const scheduler::GenerateRequest> requests,
                                   int32_t concurrency) {
  Run run(*this, requests, concurrency);
  while (!run.done())
    if (auto going = run.go_on(); !going) return tl::make_unexpected(going.error());
  return run.result();
}

}  // namespace ft::eval
