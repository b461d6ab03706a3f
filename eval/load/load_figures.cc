#include "eval/load/load_figures.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace ft::eval {

namespace {

Json spread_json(std::vector<double> seconds) {
  if (seconds.empty()) return {{"mean", 0.0}, {"p50", 0.0}, {"p90", 0.0}, {"p99", 0.0}};
  const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  return {{"mean", 1e3 * sum / static_cast<double>(seconds.size())},
          {"p50", 1e3 * percentile(seconds, 0.5)},
          {"p90", 1e3 * percentile(seconds, 0.9)},
          {"p99", 1e3 * percentile(seconds, 0.99)}};
}

}  // namespace

bool ServiceLevel::kept_by(const LoadRequest& request) const {
  if (!request.error.empty()) return false;
  return (ttft_seconds == 0.0 || request.ttft() <= ttft_seconds) &&
         (tpot_seconds == 0.0 || request.tpot() <= tpot_seconds);
}

Json request_json(const LoadRequest& request, int32_t level) {
  Json json = {{"level", level},
               {"sent_s", request.sent},
               {"error", request.error},
               {"ended_s", request.ended},
               {"prompt_tokens", request.prompt_tokens},
               {"completion_tokens", request.completion_tokens},
               {"events_s", request.events}};
  if (request.acceptance) {
    json["steps"] = request.acceptance->steps;
    json["drafted"] = request.acceptance->drafted;
  }
  return json;
}

Json load_figures_json(std::span<const LoadRequest> requests, const ServiceLevel& level) {
  std::vector<double> ttft, tpot, gaps, total;
  std::map<std::string, int64_t> errors;
  AcceptCounts acceptance;
  int64_t tokens = 0;
  int64_t good = 0;
  double first = 0.0;
  double last = 0.0;
  for (const LoadRequest& request : requests) {
    first = &request == requests.data() ? request.sent : std::min(first, request.sent);
    last = std::max(last, request.ended);
    if (!request.error.empty()) {
      ++errors[request.error];
      continue;
    }
    ttft.push_back(request.ttft());
    total.push_back(request.total());
    if (request.completion_tokens > 1) tpot.push_back(request.tpot());
    for (size_t i = 1; i < request.events.size(); ++i)
      gaps.push_back(request.events[i] - request.events[i - 1]);
    tokens += request.completion_tokens;
    good += level.kept_by(request) ? 1 : 0;
    if (request.acceptance) acceptance.add(*request.acceptance);
  }
  const double seconds = last - first;
  const auto rate = [&](int64_t count) { return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0; };
  Json figures = {{"requests", requests.size()},  {"errors", errors},
                  {"seconds", seconds},           {"requests_per_s", rate(std::ssize(total))},
                  {"tokens_per_s", rate(tokens)}, {"goodput_per_s", rate(good)},
                  {"ttft_ms", spread_json(ttft)}, {"tpot_ms", spread_json(tpot)},
                  {"gap_ms", spread_json(gaps)},  {"total_ms", spread_json(total)}};
  if (acceptance.steps > 0)
    figures["accepted_length"] =
        static_cast<double>(acceptance.emitted) / static_cast<double>(acceptance.steps);
  return figures;
}

}  // namespace ft::eval
