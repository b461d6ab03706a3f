// When the requests of a load experiment are sent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace ft::eval {

// Seconds of `count` arrivals, the first at 0. "poisson": gaps are drawn from the exponential distribution
// with mean 1 / rate, seeded; "constant": every gap is 1 / rate. kInvalidArgument for another kind or a rate
// that is not above 0.
Result<std::vector<double>> make_arrivals(const std::string& kind, double rate, size_t count, uint64_t seed);

// One request of a trace.
struct TraceRequest {
  double at = 0.0;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// A trace to be replayed: a result of `load`, whose requests of one level are taken (`level`, from 0), or
// JSON Lines of {"timestamp": seconds} with optional "prompt_tokens" and "completion_tokens". Times are
// counted from the first one on and must not fall. Errors name the file and the line.
Result<std::vector<TraceRequest>> read_trace(const std::string& path, int32_t level);

}  // namespace ft::eval
