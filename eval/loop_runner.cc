#include "eval/loop_runner.h"

#include "core/check.h"

namespace ft::eval {

using scheduler::Clock;

Result<std::unique_ptr<LoopRunner>> LoopRunner::make(Backend& backend, const Checkpoint& checkpoint,
                                                     const scheduler::EngineOptions& requested,
                                                     const WrapDrafter& wrap) {
  const auto options = scheduler::resolve(requested, checkpoint.config());
  if (!options) return tl::make_unexpected(options.error());
  backend.reserve(checkpoint.config(), options->batch_rows);
  const draft::DraftLimits limits{
      .sequences = options->max_sequences, .rows = options->batch_rows, .context = options->context};
  auto drafter = draft::make_drafter(options->drafter, backend, checkpoint, limits);
  if (!drafter) return tl::make_unexpected(drafter.error());
  if (wrap) *drafter = wrap(std::move(*drafter));
  return std::unique_ptr<LoopRunner>(new LoopRunner(backend, checkpoint, *options, std::move(*drafter)));
}

Result<RequestRun> LoopRunner::run(std::span<const scheduler::GenerateRequest> requests,
                                   int32_t concurrency) {
  struct Running {
    size_t index;
    std::shared_ptr<scheduler::TokenStream> stream;
  };
  RequestRun run;
  run.completions.resize(requests.size());
  std::vector<Running> running;
  const auto started = Clock::now();
  size_t next = 0;
  while (next < requests.size() || !running.empty()) {
    while (next < requests.size() && running.size() < static_cast<size_t>(concurrency)) {
      auto state = std::make_unique<scheduler::RequestState>();
      state->request = requests[next];
      state->submitted = Clock::now();
      if (state->length_max() > loop_.options().context)
        return fail(ErrorCode::kTooLarge, "{}: {} tokens exceed the context of {}", requests[next].id,
                    state->length_max(), loop_.options().context);
      double& first_token = run.completions[next].first_token_seconds;
      state->stream = std::make_shared<scheduler::TokenStream>(
          state->request.max_tokens, [&first_token, submitted = state->submitted] {
            if (first_token == 0.0) first_token = scheduler::milliseconds(Clock::now() - submitted) / 1e3;
          });
      running.push_back({next++, state->stream});
      loop_.enqueue(std::move(state));
    }
    FT_CHECK(loop_.step(), running.size());
    std::erase_if(running, [&](const Running& request) {
      return drain(*request.stream, run.completions[request.index]);
    });
  }
  run.seconds = scheduler::milliseconds(Clock::now() - started) / 1e3;
  if (auto fine = check_completions(requests, run.completions); !fine)
    return tl::make_unexpected(fine.error());
  return run;
}

}  // namespace ft::eval
