// A request inside the engine: what it asked for, how far it is, and what it has cost.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/batch.h"
#include "scheduler/memory/snapshot.h"
#include "scheduler/request.h"
#include "scheduler/speculation/acceptance_history.h"
#include "scheduler/token_stream.h"
#include "verify/token_counts.h"

namespace ft::scheduler {

// Moments are handed in; nothing but the engine and the executors looks at a clock.
using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

struct RequestState {
  GenerateRequest request;
  int64_t arrival = 0;  // counts requests; with the priority, the order of admission and of preemption
  std::shared_ptr<TokenStream> stream;
  Clock::time_point submitted;

  SequenceId sequence = -1;
  std::vector<int32_t> tokens;  // prompt, then everything emitted; the last one is the anchor
  verify::TokenCounts counts;   // only kept when the sampling parameters use them
  RequestReport report;

  // What the engine may do for it, from its wishes and the engine's options. Drafted rows per step at most; 0: none.
  int32_t drafts_max = 0;
  bool use_model = false;
  bool use_ngram = false;
  bool speculates() const { return drafts_max > 0; }
  // Whether something proposes for it that takes next to no time.
  bool drafts_freely() const {
    return use_ngram || request.constraint != nullptr || request.prediction.has_value();
  }
  // What the client predicts to follow now.
  std::span<const int32_t> predicted() const {
    return request.prediction ? request.prediction->next() : std::span<const int32_t>();
  }

  // Tokens of the prompt whose log probabilities have been told, where they are wanted; the first has none.
  int64_t prompt_told = 1;

  AcceptanceHistory history;
  int64_t undrafted_rows = 0;  // committed since the model's draft was last asked
  // Part of a row's experts that its parent row has too, averaged over recent rows.
  float expert_overlap = 0.0f;
  SharedSnapshot suspended;       // the memory of a request that was preempted, where it was kept
  bool counted_in_group = false;  // SequenceMemory: whether its fork group still waits for it

  int64_t length_max() const { return static_cast<int64_t>(request.prompt.size()) + request.max_tokens; }
  bool wants_prompt_logprobs() const {
    return request.prompt_logprobs >= 0 && prompt_told < static_cast<int64_t>(request.prompt.size());
  }
  int64_t tokens_left() const { return request.max_tokens - report.completion_tokens; }
  // Whether the prompt has been read and the first token emitted.
  bool decoding() const { return report.completion_tokens > 0; }
};

// Whether `a` is served before `b`.
inline bool comes_before(const RequestState& a, const RequestState& b) {
  if (a.request.priority != b.request.priority) return a.request.priority > b.request.priority;
  return a.arrival < b.arrival;
}

}  // namespace ft::scheduler
