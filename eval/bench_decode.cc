#include "eval/bench_decode.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "eval/engine_arm.h"
#include "eval/report.h"
#include "eval/statistics.h"

namespace ft::eval {

namespace {

struct MeasuredArm {
  std::unique_ptr<EngineArm> arm;
  std::vector<double> tokens_per_second;
  RunTotals last;
};

double tokens_per_second(const RunTotals& total, int32_t concurrency) {
  if (concurrency > 1) return static_cast<double>(total.tokens) / total.seconds;
  return static_cast<double>(total.tokens - total.requests) / total.decode_seconds();
}

}  // namespace

Result<void> run_bench_decode(const BenchDecodeOptions& options, std::FILE* out) {
  std::vector<std::vector<int32_t>> prompts;
  GenerateOptions base;
  base.session = {options.model, "auto", options.mode, options.cpu, options.prefill_gemm};
  base.prompts = options.prompts;
  base.concurrency = options.concurrency;
  base.max_tokens = options.max_tokens;
  base.temperature = options.temperature;
  base.prefix_cache_mib = 0;  // every round reads the same prompts
  std::vector<MeasuredArm> arms;
  for (const std::string& name : options.arms) {
    const auto parsed = parse_arm(name, base);
    if (!parsed) return tl::make_unexpected(parsed.error());
    auto arm = open_arm(name, *parsed, prompts);
    if (!arm) return tl::make_unexpected(arm.error());
    arms.push_back({std::move(*arm), {}, {}});
  }
  if (arms.empty() || options.rounds < 1) return fail(ErrorCode::kInvalidArgument, "nothing to measure");
  std::vector<std::vector<int32_t>> expected;
  // Round 0 warms every arm up and compares the tokens; it is not counted.
  for (int round = 0; round <= options.rounds; ++round) {
    for (MeasuredArm& measured : arms) {
      const EngineArm& arm = *measured.arm;
      const auto completions = generate(*arm.engine, arm.options, prompts, &measured.last);
      if (!completions) return tl::make_unexpected(completions.error());
      if (round > 0)
        measured.tokens_per_second.push_back(tokens_per_second(measured.last, options.concurrency));
      // The reference backend sums in float64: its bits, and at a near tie its tokens, are its own.
      if (arm.options.session.backend != arms[0].arm->options.session.backend) continue;
      std::vector<std::vector<int32_t>> tokens;
      for (const Completion& completion : *completions) tokens.push_back(completion.tokens);
      if (expected.empty()) expected = tokens;
      if (tokens != expected)
        return fail(ErrorCode::kInternal, "{} and {} produced different tokens", arm.name, arms[0].arm->name);
    }
    fmt::print(stderr, "round {} of {}\n", round, options.rounds);
  }
  using Json = Report::Json;
  std::vector<Json> rows;
  for (const MeasuredArm& arm : arms) {
    std::vector<double> ratios;
    for (size_t i = 0; i < arm.tokens_per_second.size(); ++i)
      ratios.push_back(arm.tokens_per_second[i] / arms[0].tokens_per_second[i]);
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    rows.push_back({{"arm", arm.arm->name},
                    {"tokens_per_second", arm.tokens_per_second},
                    {"ratio", median(ratios)},
                    {"ratio_min", *low},
                    {"ratio_max", *high},
                    {"mean_accepted_length", arm.last.mean_accepted_length()},
                    {"tokens", arm.last.tokens}});
  }
  Report report;
  report.table("arms",
               {{"arm", Report::words("/arm"), true},
                {"tokens/s", Report::median_of("{:.1f}", "/tokens_per_second")},
                {"ratio", Report::numbers("{:.3f}", {"/ratio"})},
                {"range", Report::numbers("{:.3f}-{:.3f}", {"/ratio_min", "/ratio_max"})},
                {"accepted", Report::numbers("{:.3f}", {"/mean_accepted_length"})}},
               std::move(rows));
  return report.write(out, options.json);
}

}  // namespace ft::eval
