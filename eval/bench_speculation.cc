#include "eval/bench_speculation.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "eval/generate_command.h"
#include "eval/loop_runner.h"
#include "eval/report_file.h"
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
    settings->drafter = draft::DrafterKind::kNone;
    settings->tree_nodes = 1;
  }
  LoopRunner::WrapDrafter wrap;
  if (speculates && options.scripted_rate > 0.0)
    wrap = [&](std::unique_ptr<draft::Drafter> inner) {
      auto scripted = std::make_unique<ScriptedDrafter>(std::move(inner), options.scripted_rate);
      arm.script = scripted.get();
      return scripted;
    };
  auto runner = LoopRunner::make(*arm.session.backend, *arm.session.checkpoint, *settings, wrap);
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

Result<RequestRun> run_once(Arm& arm, const std::vector<scheduler::GenerateRequest>& requests,
                            int32_t concurrency, bool counted, SpeculationFigures& figures) {
  auto run = arm.runner->run(requests, concurrency);
  if (!run || !counted) return run;
  const RunTotals totals = totals_of(*run);
  figures.tokens_per_second.push_back(static_cast<double>(totals.tokens) / totals.seconds);
  figures.mean_accepted_length = totals.mean_accepted_length();
  if (totals.steps == 0) return run;
  const auto steps = static_cast<double>(totals.steps);
  int64_t plain = 0;
  for (int64_t count : totals.fallbacks) plain += count;
  figures.rows_per_step = 1.0 + static_cast<double>(totals.drafted) / steps;
  figures.drafting_share = 1.0 - static_cast<double>(plain) / steps;
  return run;
}

Result<SpeculationLevel> run_level(const BenchSpeculationOptions& options, int32_t concurrency, Arm& with,
                                   Arm& without, const std::vector<std::vector<int32_t>>& prompts) {
  SpeculationLevel level;
  level.concurrency = concurrency;
  const auto requests = level_requests(options, concurrency, with.runner->loop().options().context, prompts);
  std::vector<Completion> expected;
  for (int round = 0; round <= options.rounds; ++round) {
    // The plain arm goes first where nothing is counted: a script needs to know what the target says.
    const bool with_first = round > 0 && round % 2 == 0;
    for (bool first : {true, false}) {
      const bool speculates = first == with_first;
      auto run = run_once(speculates ? with : without, requests, concurrency, round > 0,
                          speculates ? level.with : level.without);
      if (!run) return tl::make_unexpected(run.error());
      if (expected.empty()) {
        expected = std::move(run->completions);
        for (size_t i = 0; with.script != nullptr && i < requests.size(); ++i) {
          std::vector<int32_t> tokens = requests[i].prompt;
          tokens.insert(tokens.end(), expected[i].tokens.begin(), expected[i].tokens.end());
          with.script->learn(requests[i].sampling.seed, std::move(tokens));
        }
        continue;
      }
      for (size_t i = 0; i < expected.size(); ++i)
        if (run->completions[i].tokens != expected[i].tokens)
          return fail(ErrorCode::kInternal, "{} at concurrency {}: tokens differ with speculation",
                      requests[i].id, concurrency);
    }
    if (round == 0) continue;
    level.ratios.push_back(level.with.tokens_per_second.back() / level.without.tokens_per_second.back());
    fmt::print(stderr, "concurrency {}, round {} of {}: {:.3f}\n", concurrency, round, options.rounds,
               level.ratios.back());
  }
  return level;
}

nlohmann::ordered_json to_json(const SpeculationFigures& figures) {
  return {{"tokens_per_second", figures.tokens_per_second},
          {"mean_accepted_length", figures.mean_accepted_length},
          {"rows_per_step", figures.rows_per_step},
          {"drafting_share", figures.drafting_share}};
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

Result<void> run_bench_speculation(const BenchSpeculationOptions& options) {
  const auto levels = bench_speculation(options);
  if (!levels) return tl::make_unexpected(levels.error());
  nlohmann::ordered_json report = {{"model", options.session.model},
                                   {"drafter", options.drafter},
                                   {"temperature", options.temperature},
                                   {"scripted_rate", options.scripted_rate},
                                   {"levels", nlohmann::ordered_json::array()}};
  fmt::print("{:>11} {:>12} {:>12} {:>8} {:>17} {:>9} {:>6} {:>9}\n", "concurrency", "without/s", "with/s",
             "ratio", "range", "accepted", "rows", "drafting");
  for (const SpeculationLevel& level : *levels) {
    const auto [low, high] = std::minmax_element(level.ratios.begin(), level.ratios.end());
    fmt::print("{:>11} {:>12.1f} {:>12.1f} {:>8.3f} {:>8.3f}-{:<8.3f} {:>9.3f} {:>6.2f} {:>8.0f}%\n",
               level.concurrency, median(level.without.tokens_per_second),
               median(level.with.tokens_per_second), median(level.ratios), *low, *high,
               level.with.mean_accepted_length, level.with.rows_per_step, 100.0 * level.with.drafting_share);
    report["levels"].push_back({{"concurrency", level.concurrency},
                                {"ratio_median", median(level.ratios)},
                                {"ratio_min", *low},
                                {"ratio_max", *high},
                                {"ratios", level.ratios},
                                {"with", to_json(level.with)},
                                {"without", to_json(level.without)}});
  }
  return write_report(options.json, report.dump(2) + "\n");
}

}  // namespace ft::eval
