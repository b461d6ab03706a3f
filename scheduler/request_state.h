// A request inside the engine: what it asked for, how far it is, and what it has cost.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/batch.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"
#include "verify/token_counts.h"

namespace ft::scheduler {

using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

struct RequestState {
  GenerateRequest request;
  std::shared_ptr<TokenStream> stream;
  Clock::time_point submitted;
  Clock::time_point admitted;

  SequenceId sequence = -1;
  std::vector<int32_t> tokens;  // prompt, then everything emitted; the last one is the anchor
  verify::TokenCounts counts;   // only kept when the sampling parameters use them
  RequestReport report;

  int64_t tokens_left() const { return request.max_tokens - report.completion_tokens; }
  // Whether the prompt has been read and the first token emitted.
  bool decoding() const { return report.completion_tokens > 0; }
};

}  // namespace ft::scheduler
