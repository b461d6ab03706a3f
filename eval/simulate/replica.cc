#include "eval/simulate/replica.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "scheduler/speculation/global_selection.h"

namespace ft::eval {

using scheduler::Clock;

Replica::Replica(const ReplicaOptions& options, const VirtualModel& model, const StepCosts& costs,
                 const AcceptanceSource& acceptance, uint64_t seed)
    : costs_(costs),
      executor_(model, costs, acceptance, options.requests_max, options.tokens_max, seed),
      scheduler_(engine_options(options), executor_.info(), executor_.sequences()) {
  executor_.measure(scheduler_.speculation().costs());
}

scheduler::EngineOptions Replica::engine_options(const ReplicaOptions& options) {
  scheduler::EngineOptions engine;
  engine.max_sequences = options.requests_max;
  engine.context = options.context;
  engine.cache_tokens = options.tokens_max;
  const int32_t nodes = options.tree_nodes == 0 ? options.tree_nodes_max : options.tree_nodes;
  engine.batch_rows = std::max(options.requests_max * nodes, 2 * options.prefill_chunk);
  engine.prefill_chunk = options.prefill_chunk;
  engine.queue_max = 1'000'000;
  engine.tree_nodes = options.tree_nodes;
  engine.tree_nodes_max = options.tree_nodes_max;
  engine.tree_shape = options.shape;
  engine.prefix_cache_bytes = 0;
  if (options.blind_to_experts)
    engine.make_selection = [](const scheduler::CostModel& prices) {
      return std::make_unique<scheduler::GlobalSelection>(prices, scheduler::ExpertLayout{});
    };
  return engine;
}

Clock::time_point Replica::moment() const {
  return Clock::time_point{} +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(now_));
}

void Replica::submit(const VirtualRequest& request) {
  if (unfinished() == 0) wait_until(request.at);
  auto state = std::make_unique<scheduler::RequestState>();
  // Prompts differ from their first token on: nothing is shared.
  state->request.prompt.assign(static_cast<size_t>(request.prompt_tokens), 0);
  state->request.prompt[0] = static_cast<int32_t>(submitted_ % 100'000);
  state->request.max_tokens = request.completion_tokens;
  state->request.sampling.temperature = 1.0;
  state->request.sampling.seed = VirtualExecutor::request_seed(submitted_++, request.domain);
  state->stream = std::make_shared<scheduler::TokenStream>(request.completion_tokens, nullptr);
  state->submitted = moment();
  LoadRequest own;
  own.sent = request.at;
  own.prompt_tokens = request.prompt_tokens;
  running_.push_back({state->stream, std::move(own)});
  scheduler_.enqueue(std::move(state));
}

bool Replica::step() {
  if (!scheduler_.plan(moment())) return false;
  const double draft_seconds = executor_.propose(scheduler_.draft_batch());
  const scheduler::StepOutcome& outcome = executor_.step(scheduler_.select(draft_seconds));
  now_ += draft_seconds + outcome.verify_seconds + outcome.commit_seconds + costs_.overhead_seconds();
  scheduler_.apply(outcome, moment());
  drain();
  return true;
}

void Replica::drain() {
  std::erase_if(running_, [&](Running& running) {
    const bool ended = running.stream->finished();
    int64_t tokens = 0;
    for (scheduler::TokenEvent event; running.stream->pop(event);) ++tokens;
    if (tokens > 0) running.request.events.push_back(now_);
    running.request.completion_tokens += tokens;
    if (!ended) return false;
    const scheduler::RequestReport& report = running.stream->report();
    running.request.ended = now_;
    if (report.finish_reason == scheduler::FinishReason::kError) running.request.error = "engine";
    AcceptCounts counts;
    counts.add(report);
    if (counts.steps > 0) running.request.acceptance = counts;
    finished_.push_back(std::move(running.request));
    return true;
  });
}

std::vector<LoadRequest> Replica::take_finished() {
  return std::exchange(finished_, {});
}

}  // namespace ft::eval
