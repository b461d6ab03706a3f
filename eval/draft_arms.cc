#include "eval/draft_arms.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eval/statistics.h"

namespace ft::eval {
namespace {

struct Measured {
  std::vector<double> tokens_per_second;
  RunTotals last;
};

double tokens_per_second(const RunTotals& total, int32_t concurrency) {
  if (concurrency > 1) return static_cast<double>(total.tokens) / total.seconds;
  return static_cast<double>(total.tokens - total.requests) / total.decode_seconds();
}

double per_token(int64_t count, const RunTotals& total) {
  return static_cast<double>(count) /
         static_cast<double>(std::max<int64_t>(total.tokens - total.requests, 1));
}

// A constraint is a value, but a request's own moves on with its reply.
std::vector<scheduler::GenerateRequest> fresh(const std::vector<scheduler::GenerateRequest>& requests) {
  std::vector<scheduler::GenerateRequest> copies = requests;
  for (scheduler::GenerateRequest& request : copies)
    if (request.constraint != nullptr) request.constraint = std::make_shared<Constraint>(*request.constraint);
  return copies;
}

}  // namespace

Result<void> compare_arms(const std::vector<DraftArm>& arms, int32_t concurrency, int rounds,
                          Report& report) {
  std::vector<Measured> measured(arms.size());
  std::vector<std::vector<int32_t>> expected;
  for (int round = 0; round <= rounds; ++round) {
    for (size_t a = 0; a < arms.size(); ++a) {
      const auto run = run_requests(*arms[a].engine, fresh(arms[a].requests), concurrency);
      if (!run) return tl::make_unexpected(run.error());
      std::vector<std::vector<int32_t>> tokens;
      for (const Completion& completion : run->completions) tokens.push_back(completion.tokens);
      if (expected.empty()) expected = tokens;
      if (tokens != expected)
        return fail(ErrorCode::kInternal, "\"{}\" and \"{}\" produced different tokens", arms[a].name,
                    arms[0].name);
      measured[a].last = totals_of(*run);
      if (round > 0)
        measured[a].tokens_per_second.push_back(tokens_per_second(measured[a].last, concurrency));
    }
    fmt::print(stderr, "round {} of {}\n", round, rounds);
  }
  using Json = Report::Json;
  std::vector<Json> rows;
  for (size_t a = 0; a < arms.size(); ++a) {
    const RunTotals& total = measured[a].last;
    std::vector<double> ratios;
    for (size_t i = 0; i < measured[a].tokens_per_second.size(); ++i)
      ratios.push_back(measured[a].tokens_per_second[i] / measured[0].tokens_per_second[i]);
    rows.push_back({{"arm", arms[a].name},
                    {"tokens", total.tokens},
                    {"steps", total.steps},
                    {"steps_per_token", per_token(total.steps, total)},
                    {"forced_per_token", per_token(total.forced, total)},
                    {"drafted_per_token", per_token(total.drafted, total)},
                    {"tokens_per_second", measured[a].tokens_per_second},
                    {"ratio", median(ratios)}});
  }
  report.table("arms",
               {{"arm", Report::words("/arm"), true},
                {"tokens", Report::numbers("{:.0f}", {"/tokens"})},
                {"steps", Report::numbers("{:.0f}", {"/steps"})},
                {"steps/token", Report::numbers("{:.3f}", {"/steps_per_token"})},
                {"forced/token", Report::numbers("{:.3f}", {"/forced_per_token"})},
                {"drafted/token", Report::numbers("{:.2f}", {"/drafted_per_token"})},
                {"tokens/s", Report::median_of("{:.1f}", "/tokens_per_second")},
                {"ratio", Report::numbers("{:.3f}", {"/ratio"})}},
               std::move(rows));
  return {};
}

}  // namespace ft::eval
