#include "scheduler/engine.h"

#include <concurrentqueue/concurrentqueue.h>

#include <atomic>
#include <semaphore>

#include "scheduler/engine_loop.h"
#include "scheduler/speculation/source_choice.h"

namespace ft::scheduler {

// What other threads see of the engine.
struct Engine::Inbox {
  moodycamel::ConcurrentQueue<std::unique_ptr<RequestState>> requests;
  std::counting_semaphore<> wake{0};
  std::atomic<int64_t> queued{0};  // submitted and neither running nor ended
  std::atomic<bool> stopping{false};
  std::atomic<bool> failed{false};
  SharedStats stats;
};

Result<std::unique_ptr<Engine>> Engine::create(Backend& backend, const Checkpoint& checkpoint,
                                               const EngineOptions& options, const EngineParts& parts) {
  auto loop = EngineLoop::make(backend, checkpoint, options, parts);
  if (!loop) return tl::make_unexpected(loop.error());
  return std::unique_ptr<Engine>(new Engine(std::make_unique<Inbox>(), std::move(*loop)));
}

Engine::Engine(std::unique_ptr<Inbox> inbox, std::unique_ptr<EngineLoop> loop)
    : inbox_(std::move(inbox)), loop_(std::move(loop)), thread_([this] { run(); }) {}

// Nothing in here throws: the loop catches what a step throws.
void Engine::run() {
  const auto take_in = [&] {
    std::unique_ptr<RequestState> request;
    while (inbox_->requests.try_dequeue(request)) loop_->enqueue(std::move(request));
  };
  while (!inbox_->stopping.load(std::memory_order_acquire)) {
    take_in();
    const bool worked = loop_->step();
    inbox_->failed.store(!loop_->failure().empty(), std::memory_order_release);
    inbox_->queued.store(loop_->scheduler().waiting() + static_cast<int64_t>(inbox_->requests.size_approx()),
                         std::memory_order_relaxed);
    inbox_->stats.publish(loop_->stats());
    if (!worked) {
      loop_->keep_learned(false);
      inbox_->wake.acquire();
    }
  }
  take_in();
  loop_->cancel_all();
  inbox_->stats.publish(loop_->stats());
}

Engine::~Engine() {
  inbox_->stopping.store(true, std::memory_order_release);
  inbox_->wake.release();
}

Result<std::shared_ptr<TokenStream>> Engine::submit(GenerateRequest request, std::function<void()> notify) {
  const EngineOptions& options = loop_->options();
  const int64_t vocab = loop_->info().vocab;
  if (request.prompt.empty()) return fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  for (int32_t token : request.prompt)
    if (token < 0 || token >= vocab)
      return fail(ErrorCode::kInvalidArgument, "prompt token {} is outside the vocabulary of {}", token,
                  vocab);
  if (request.max_tokens < 1)
    return fail_field("max_tokens", "max_tokens is {}, expected at least 1", request.max_tokens);
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (prompt_tokens > options.context || request.max_tokens > options.context - prompt_tokens)
    return fail(ErrorCode::kTooLarge, "{} prompt tokens and max_tokens {} exceed the context of {} tokens",
                prompt_tokens, request.max_tokens, options.context);
  if (request.prompt_logprobs > 20)
    return fail_field("logprobs", "prompt_logprobs is {}, expected at most 20", request.prompt_logprobs);
  if (request.prompt_logprobs >= 0 && request.fork_group != 0)
    return fail(ErrorCode::kInvalidArgument, "a fork has no log probabilities of its prompt");
  if (request.prediction)
    for (const int32_t token : request.prediction->tokens())
      if (token < 0 || token >= vocab)
        return fail(ErrorCode::kInvalidArgument, "predicted token {} is outside the vocabulary of {}", token,
                    vocab);
  if (auto valid = verify::validate(request.sampling, vocab); !valid)
    return tl::make_unexpected(valid.error());
  if (request.speculation.max_nodes && *request.speculation.max_nodes < 1)
    return fail_field("speculation.max_nodes", "speculation.max_nodes is {}, expected at least 1",
                      *request.speculation.max_nodes);
  if (!choose_sources(request.speculation, options.drafter, loop_->info()))
    return fail_field("speculation.drafter",
                      "speculation.drafter names a drafter that is not loaded: this engine has {}",
                      drafter_name());
  if (inbox_->stopping.load(std::memory_order_acquire))
    return fail(ErrorCode::kUnavailable, "the engine is stopping");
  if (inbox_->failed.load(std::memory_order_acquire))
    return fail(ErrorCode::kUnavailable, "the engine has failed and serves nothing any more: start it again");
  if (inbox_->queued.fetch_add(1, std::memory_order_relaxed) >= options.queue_max) {
    inbox_->queued.fetch_sub(1, std::memory_order_relaxed);
    return fail(ErrorCode::kOverloaded, "{} requests are waiting, which is the limit", options.queue_max);
  }
  auto state = std::make_unique<RequestState>();
  const int64_t told = request.prompt_logprobs >= 0 ? prompt_tokens : 0;
  state->stream = std::make_shared<TokenStream>(told + request.max_tokens, std::move(notify));
  state->request = std::move(request);
  state->submitted = Clock::now();
  std::shared_ptr<TokenStream> stream = state->stream;
  inbox_->requests.enqueue(std::move(state));
  inbox_->wake.release();
  return stream;
}

EngineStats Engine::stats() const {
  EngineStats stats = inbox_->stats.read();
  stats.engine_failed = inbox_->failed.load(std::memory_order_acquire) ? 1 : 0;
  return stats;
}

const EngineOptions& Engine::options() const {
  return loop_->options();
}

bool Engine::offers(const draft::DrafterChoice& drafter) const {
  SpeculationParams wish;
  wish.drafter = drafter;
  return choose_sources(wish, options().drafter, loop_->info()).has_value();
}

const std::string& Engine::costs_origin() const {
  return loop_->costs_origin();
}

std::string_view Engine::drafter_name() const {
  return loop_->info().drafter;
}

}  // namespace ft::scheduler
