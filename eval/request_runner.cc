#include "eval/request_runner.h"

#include <atomic>
#include <chrono>
#include <semaphore>

namespace ft::eval {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Shared with the streams: the engine may still be inside a notification when its stream has been read to the
// end.
struct Progress {
  std::counting_semaphore<> events{0};
};

}  // namespace

bool drain(scheduler::TokenStream& stream, Completion& completion) {
  const bool finished = stream.finished();  // asked first: tokens pushed before the end are then all visible
  scheduler::TokenEvent event;
  while (stream.pop(event)) completion.tokens.push_back(event.token);
  if (finished) completion.report = stream.report();
  return finished;
}

Result<void> check_completions(std::span<const scheduler::GenerateRequest> requests,
                               std::span<const Completion> completions) {
  for (size_t i = 0; i < completions.size(); ++i)
    if (completions[i].report.finish_reason == scheduler::FinishReason::kError)
      return fail(ErrorCode::kInternal, "{}: {}", requests[i].id, completions[i].report.error);
  return {};
}

RunTotals totals_of(const RequestRun& run) {
  RunTotals total;
  total.seconds = run.seconds;
  for (const Completion& completion : run.completions) {
    const scheduler::RequestReport& report = completion.report;
    ++total.requests;
    total.tokens += report.completion_tokens;
    total.steps += report.steps;
    total.drafted += report.drafted;
    total.accepted += report.accepted;
    total.forced += report.forced;
    total.cached_tokens += report.cached_tokens;
    total.preemptions += report.preemptions;
    for (size_t i = 0; i < scheduler::kFallbacks; ++i) total.fallbacks[i] += report.fallbacks[i];
    total.draft_seconds += report.draft_ms / 1e3;
    total.verify_seconds += report.verify_ms / 1e3;
    total.commit_seconds += report.commit_ms / 1e3;
  }
  return total;
}

Result<RequestRun> run_requests(scheduler::Engine& engine,
                                std::span<const scheduler::GenerateRequest> requests, int32_t concurrency) {
  struct Running {
    size_t index;
    std::shared_ptr<scheduler::TokenStream> stream;
    std::shared_ptr<std::atomic<double>> first_token;  // seconds; 0 = not there yet
  };
  RequestRun run;
  run.completions.resize(requests.size());
  std::vector<Running> running;
  const auto progress = std::make_shared<Progress>();
  const auto started = Clock::now();
  size_t next = 0;
  while (next < requests.size() || !running.empty()) {
    while (next < requests.size() && running.size() < static_cast<size_t>(concurrency)) {
      auto first_token = std::make_shared<std::atomic<double>>(0.0);
      const auto notify = [progress, first_token, submitted = Clock::now()] {
        // The first notification says that the first token is there.
        if (first_token->load(std::memory_order_relaxed) == 0.0)
          first_token->store(seconds_since(submitted), std::memory_order_relaxed);
        progress->events.release();
      };
      auto stream = engine.submit(requests[next], notify);
      if (!stream) {
        for (const Running& request : running) request.stream->cancel();
        return fail(stream.error().code, "{}: {}", requests[next].id, stream.error().message);
      }
      running.push_back({next++, std::move(*stream), std::move(first_token)});
    }
    progress->events.acquire();
    std::erase_if(running, [&](const Running& request) {
      Completion& completion = run.completions[request.index];
      const bool finished = drain(*request.stream, completion);
      completion.first_token_seconds = request.first_token->load(std::memory_order_relaxed);
      return finished;
    });
  }
  run.seconds = seconds_since(started);
  if (auto fine = check_completions(requests, run.completions); !fine)
    return tl::make_unexpected(fine.error());
  return run;
}

}  // namespace ft::eval
