#include "eval/bench_speculation.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "eval/generate_command.h"
#include "eval/loop_runner.h"
#include "eval/report.h"
#include "eval/report/write.h"
#include "eval/results/environment.h"
#include "eval/scripted_drafter.h"
#include "eval/statistics.h"

namespace ft::eval {

namespace {

struct Arm {
  Session session;
  std::unique_ptr<LoopRunner> runner;  // after the session: it borrows from it
  ScriptedDrafter* script = nullptr;   // owned by the runner
};

Result<Arm> open_speculation_arm(const BenchSpeculationOptions& options, bool speculates,
                                 std::vector<std::vector<int32_t>>& prompts) {
  Arm arm;
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  arm.session = std::move(*session);
  if (prompts.empty()) {
    auto read = load_prompts(options.prompts, arm.session.config(), options.session.model);
    if (!read) return tl::make_unexpected(read.error());
    for (Prompt& prompt : *read) prompts.push_back(std::move(prompt.tokens));
  }
  GenerateOptions generate;
  generate.prompts = options.prompts;
  generate.max_tokens = options.max_tokens;
  generate.concurrency = *std::max_element(options.concurrencies.begin(), options.concurrencies.end());
  generate.prefix_cache_mib = 0;
  generate.drafter = options.drafter;
  generate.tree_nodes = options.tree_nodes;
  auto settings = engine_options(generate, arm.session.config(), prompts);
  if (!settings) return tl::make_unexpected(settings.error());
  if (!speculates) {
    // Everything else stays as it is, above all how many rows of prompts a step may read.
    settings->drafter = *draft::parse_drafter("none");
    settings->tree_nodes = 1;
  }
  scheduler::EngineParts parts;
  if (speculates && options.scripted_rate > 0.0)
    parts.wrap_drafter = [&](std::unique_ptr<draft::Drafter> inner) {
      auto scripted = std::make_unique<ScriptedDrafter>(std::move(inner), options.scripted_rate);
      arm.script = scripted.get();
      return scripted;
    };
  auto runner = LoopRunner::make(*arm.session.backend, *arm.session.checkpoint, *settings, parts);
  if (!runner) return tl::make_unexpected(runner.error());
  arm.runner = std::move(*runner);
  return arm;
}

std::vector<scheduler::GenerateRequest> level_requests(const BenchSpeculationOptions& options,
                                                       int32_t concurrency, int64_t context,
                                                       const std::vector<std::vector<int32_t>>& prompts) {
  GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.temperature = options.temperature;
  generate.top_p = options.top_p;
  generate.seed = options.seed;
  generate.ignore_eos = options.ignore_eos;
  std::vector<std::vector<int32_t>> chosen;
  for (int32_t i = 0; i < std::max(options.requests, concurrency); ++i)
    chosen.push_back(prompts[static_cast<size_t>(i) % prompts.size()]);
  return make_requests(generate, context, chosen);
}

// Seconds that an arm works before the other one's turn: far less than it takes a machine that others use too
// to change its speed, far more than weights need to come back into a cache.
constexpr double kTurnSeconds = 0.1;

void count(const RequestRun& run, SpeculationFigures& figures) {
  const RunTotals totals = totals_of(run);
  figures.tokens_per_second.push_back(static_cast<double>(totals.tokens) / totals.seconds);
  figures.mean_accepted_length = totals.mean_accepted_length();
  if (totals.steps == 0) return;
  const auto steps = static_cast<double>(totals.steps);
  int64_t plain = 0;
  for (int64_t fallbacks : totals.fallbacks) plain += fallbacks;
  figures.rows_per_step = 1.0 + static_cast<double>(totals.drafted) / steps;
  figures.drafting_share = 1.0 - static_cast<double>(plain) / steps;
}

Result<void> check_same(const std::vector<scheduler::GenerateRequest>& requests,
                        const std::vector<Completion>& expected, const RequestRun& run, int32_t concurrency) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (run.completions[i].tokens != expected[i].tokens)
      return fail(ErrorCode::kInternal, "{} at concurrency {}: tokens differ with speculation",
                  requests[i].id, concurrency);
  return {};
}

// Both arms at once, in turns: whatever slows the machine down meets both.
Result<void> run_round(const std::vector<scheduler::GenerateRequest>& requests, bool with_first, Arm& with,
                       Arm& without, const std::vector<Completion>& expected, SpeculationLevel& level) {
  LoopRunner::Run with_run(*with.runner, requests, level.concurrency);
  LoopRunner::Run without_run(*without.runner, requests, level.concurrency);
  for (bool turn = with_first; !with_run.done() || !without_run.done(); turn = !turn)
    if (auto going = (turn ? with_run : without_run).go_on(kTurnSeconds); !going) return going;
  for (bool speculates : {true, false}) {
    const auto run = (speculates ? with_run : without_run).result();
    if (!run) return tl::make_unexpected(run.error());
    if (auto same = check_same(requests, expected, *run, level.concurrency); !same) return same;
    count(*run, speculates ? level.with : level.without);
  }
  level.ratios.push_back(level.with.tokens_per_second.back() / level.without.tokens_per_second.back());
  return {};
}

Result<SpeculationLevel> run_level(const BenchSpeculationOptions& options, int32_t concurrency, Arm& with,
                                   Arm& without, const std::vector<std::vector<int32_t>>& prompts) {
  SpeculationLevel level;
  level.concurrency = concurrency;
  const auto requests = level_requests(options, concurrency, with.runner->loop().options().context, prompts);
  // Not counted, the plain arm alone and first: a script needs to know what the target says.
  const auto plain = without.runner->run(requests, concurrency);
  if (!plain) return tl::make_unexpected(plain.error());
  const std::vector<Completion>& expected = plain->completions;
  for (size_t i = 0; with.script != nullptr && i < requests.size(); ++i) {
    std::vector<int32_t> tokens = requests[i].prompt;
    tokens.insert(tokens.end(), expected[i].tokens.begin(), expected[i].tokens.end());
    with.script->learn(requests[i].sampling.seed, std::move(tokens));
  }
  const auto warm = with.runner->run(requests, concurrency);
  if (!warm) return tl::make_unexpected(warm.error());
  if (auto same = check_same(requests, expected, *warm, concurrency); !same)
    return tl::make_unexpected(same.error());
  for (int round = 1; round <= options.rounds; ++round) {
    if (auto ran = run_round(requests, round % 2 == 0, with, without, expected, level); !ran)
      return tl::make_unexpected(ran.error());
    fmt::print(stderr, "concurrency {}, round {} of {}: {:.3f}\n", concurrency, round, options.rounds,
               level.ratios.back());
  }
  return level;
}

// The mean ratio of a round, with what it may be by chance.
Interval mean_ratio(const SpeculationLevel& level) {
  return bootstrap(
      level.ratios.size(),
      [&](std::span<const int32_t> counts) {
        double sum = 0.0;
        int64_t rounds = 0;
        for (size_t i = 0; i < counts.size(); ++i) {
          sum += counts[i] * level.ratios[i];
          rounds += counts[i];
        }
        return sum / static_cast<double>(rounds);
      },
      0);
}

nlohmann::ordered_json to_json(const SpeculationFigures& figures) {
  return {{"tokens_per_second", figures.tokens_per_second},
          {"mean_accepted_length", figures.mean_accepted_length},
          {"rows_per_step", figures.rows_per_step},
          {"drafting_share", figures.drafting_share}};
}

// The result that `report` draws the speed-up of.
Result<void> write_speedup(const BenchSpeculationOptions& options,
                           const std::vector<SpeculationLevel>& levels) {
  ResultFile result;
  result.kind = "speedup";
  result.command = options.command;
  result.started = utc_now();
  result.code = code_json();
  result.hardware = hardware_json(options.session.backend);
  result.model = {{"path", options.session.model}};
  result.seeds = {options.seed};
  result.configuration = {{"prompts", options.prompts},
                          {"drafter", options.drafter},
                          {"tree_nodes", options.tree_nodes},
                          {"requests", options.requests},
                          {"max_tokens", options.max_tokens},
                          {"temperature", options.temperature},
                          {"rounds", options.rounds},
                          {"oracle_draft", options.scripted_rate},
                          {"threads", options.session.cpu.threads},
                          {"ignore_eos", options.ignore_eos}};
  result.figures["levels"] = Json::array();
  for (const SpeculationLevel& level : levels) {
    result.rows.push_back({{"concurrency", level.concurrency},
                           {"ratios", level.ratios},
                           {"with", to_json(level.with)},
                           {"without", to_json(level.without)}});
    result.figures["levels"].push_back({{"concurrency", level.concurrency},
                                        {"ratio", interval_json(mean_ratio(level))},
                                        {"ratio_median", median(level.ratios)},
                                        {"with", to_json(level.with)}});
  }
  return write_result(result, options.out, "speedup", nullptr);
}

}  // namespace

Result<std::vector<SpeculationLevel>> bench_speculation(const BenchSpeculationOptions& options) {
  if (options.concurrencies.empty() || options.rounds < 1 ||
      *std::min_element(options.concurrencies.begin(), options.concurrencies.end()) < 1)
    return fail(ErrorCode::kInvalidArgument, "nothing to measure");
  if (options.scripted_rate < 0.0 || options.scripted_rate >= 1.0)
    return fail(ErrorCode::kInvalidArgument, "scripted rate is {}, expected 0 to less than 1",
                options.scripted_rate);
  std::vector<std::vector<int32_t>> prompts;
  auto without = open_speculation_arm(options, false, prompts);
  if (!without) return tl::make_unexpected(without.error());
  auto with = open_speculation_arm(options, true, prompts);
  if (!with) return tl::make_unexpected(with.error());
  std::vector<SpeculationLevel> levels;
  for (int32_t concurrency : options.concurrencies) {
    auto level = run_level(options, concurrency, *with, *without, prompts);
    if (!level) return tl::make_unexpected(level.error());
    levels.push_back(std::move(*level));
  }
  return levels;
}

Result<void> run_bench_speculation(const BenchSpeculationOptions& options, std::FILE* out) {
  const auto levels = bench_speculation(options);
  if (!levels) return tl::make_unexpected(levels.error());
  Report report;
  report.fact("model", options.session.model);
  report.fact("drafter", options.drafter);
  report.fact("temperature", options.temperature);
  report.fact("scripted_rate", options.scripted_rate);
  std::vector<Json> rows;
  for (const SpeculationLevel& level : *levels) {
    const auto [low, high] = std::minmax_element(level.ratios.begin(), level.ratios.end());
    const Interval mean = mean_ratio(level);
    rows.push_back({{"concurrency", level.concurrency},
                    {"ratio_median", median(level.ratios)},
                    {"ratio_mean", mean.value},
                    {"ratio_mean_low", mean.low},
                    {"ratio_mean_high", mean.high},
                    {"ratio_min", *low},
                    {"ratio_max", *high},
                    {"ratios", level.ratios},
                    {"with", to_json(level.with)},
                    {"without", to_json(level.without)}});
  }
  report.table("levels",
               {{"concurrency", Report::numbers("{:.0f}", {"/concurrency"})},
                {"without/s", Report::median_of("{:.1f}", "/without/tokens_per_second")},
                {"with/s", Report::median_of("{:.1f}", "/with/tokens_per_second")},
                {"median", Report::numbers("{:.3f}", {"/ratio_median"})},
                {"mean (95 %)", Report::numbers("{:.3f} {:.3f}-{:.3f}",
                                                {"/ratio_mean", "/ratio_mean_low", "/ratio_mean_high"})},
                {"range", Report::numbers("{:.3f}-{:.3f}", {"/ratio_min", "/ratio_max"})},
                {"accepted", Report::numbers("{:.3f}", {"/with/mean_accepted_length"})},
                {"rows", Report::numbers("{:.2f}", {"/with/rows_per_step"})},
                {"drafting", Report::numbers("{:.0f}%", {"/with/drafting_share"}, 100.0)}},
               std::move(rows));
  if (!options.out.empty())
    if (auto written = write_speedup(options, *levels); !written) return written;
  return report.write(out, options.json);
}

}  // namespace ft::eval
