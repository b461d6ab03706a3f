// What happened to the requests of a load experiment, and the figures that follow. Pure; simulations use
// them, too.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/accept/figures.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// One request. Moments are seconds after the beginning of its level.
struct LoadRequest {
  double sent = 0.0;
  std::string error;  // "" or its kind: connect, timeout, broken, status, empty
  std::vector<double>
      events;  // moments at which text came; with speculation an event may hold several tokens
  double ended = 0.0;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  std::optional<AcceptCounts> acceptance;

  double ttft() const { return events.front() - sent; }  // time to first token
  // Time per output token after the first; 0 for a reply of one.
  double tpot() const {
    return completion_tokens < 2
               ? 0.0
               : (events.back() - events.front()) / static_cast<double>(completion_tokens - 1);
  }
  double total() const { return ended - sent; }
};

// What a request must keep to be good. 0 = no limit.
struct ServiceLevel {
  double ttft_seconds = 0.0;
  double tpot_seconds = 0.0;

  bool kept_by(const LoadRequest& request) const;
};

Json request_json(const LoadRequest& request, int32_t level);

// {"requests", "errors": {kind: count}, "seconds", "requests_per_s", "tokens_per_s", "goodput_per_s",
// "ttft_ms": {"mean", "p50", "p90", "p99"}, "tpot_ms", "gap_ms" (between two events), "total_ms",
// "accepted_length"}. Rates are over the time from the first request's beginning to the last one's end.
Json load_figures_json(std::span<const LoadRequest> requests, const ServiceLevel& level);

}  // namespace ft::eval
