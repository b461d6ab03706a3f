#include "eval/bench_prefix.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "eval/generate_command.h"
#include "eval/report.h"

namespace ft::eval {

namespace {

// Two prompts that share their first tokens.
using PromptPair = std::vector<std::vector<int32_t>>;

// What remains of a prompt when no file gives any.
constexpr size_t kRandomSuffix = 16;

// Builds prompts of one dialogue after another, so that suffixes are questions which a model can answer.
PromptPair make_pair(const BenchPrefixOptions& options, const std::vector<Prompt>& prompts, int64_t vocab,
                     uint64_t round) {
  std::mt19937_64 random(options.seed + round);
  const auto size = static_cast<size_t>(options.prefix_tokens);
  PromptPair pair(2);
  std::vector<int32_t> prefix;
  while (prefix.size() < size) {
    if (prompts.empty()) {
      prefix.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
      continue;
    }
    const std::vector<int32_t>& next = prompts[random() % prompts.size()].tokens;
    prefix.insert(prefix.end(), next.begin(), next.end());
  }
  prefix.resize(size);
  const size_t first = prompts.empty() ? 0 : random() % prompts.size();
  for (size_t i = 0; i < pair.size(); ++i) {
    pair[i] = prefix;
    if (prompts.empty()) {
      for (size_t k = 0; k < kRandomSuffix; ++k)
        pair[i].push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
      continue;
    }
    const std::vector<int32_t>& suffix = prompts[(first + i) % prompts.size()].tokens;
    pair[i].insert(pair[i].end(), suffix.begin(), suffix.end());
  }
  return pair;
}

// Both requests, one after the other, on an engine of their own.
Result<std::vector<Completion>> run_pair(const Session& session, const BenchPrefixOptions& options,
                                         const PromptPair& pair, bool cached, uint64_t round) {
  GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.temperature = options.temperature;
  generate.seed = options.seed + 2 * round;
  generate.drafter = options.drafter;
  generate.tree_nodes = options.tree_nodes;
  generate.concurrency = 1;
  auto settings = engine_options(generate, session.config(), pair);
  if (!settings) return tl::make_unexpected(settings.error());
  settings->prefix_cache_bytes = cached ? int64_t{1} << 30 : 0;
  // Room for the first request's prefix beside the second request.
  settings->cache_tokens *= 2;
  auto engine = scheduler::Engine::create(*session.backend, *session.checkpoint, *settings);
  if (!engine) return tl::make_unexpected(engine.error());
  auto run = run_requests(**engine, make_requests(generate, (*engine)->options().context, pair), 1);
  if (!run) return tl::make_unexpected(run.error());
  return std::move(run->completions);
}

}  // namespace

Result<PrefixFigures> bench_prefix(const BenchPrefixOptions& options) {
  if (options.rounds < 1 || options.prefix_tokens < 1)
    return fail(ErrorCode::kInvalidArgument, "expected at least one round and one prefix token");
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  std::vector<Prompt> prompts;
  if (!options.prompts.empty()) {
    auto read = load_prompts(options.prompts, session->config(), options.session.model);
    if (!read) return tl::make_unexpected(read.error());
    prompts = std::move(*read);
  }
  PrefixFigures figures;
  std::vector<AcceptCounts> hits;
  std::vector<AcceptCounts> misses;
  // Round 0 warms the machine up and does not count.
  for (int round = 0; round <= options.rounds; ++round) {
    const PromptPair pair =
        make_pair(options, prompts, session->config().vocab_size, static_cast<uint64_t>(round));
    std::vector<Completion> with;
    std::vector<Completion> without;
    for (bool cached : {round % 2 == 0, round % 2 != 0}) {
      auto run = run_pair(*session, options, pair, cached, static_cast<uint64_t>(round));
      if (!run) return tl::make_unexpected(run.error());
      (cached ? with : without) = std::move(*run);
    }
    for (size_t i = 0; i < pair.size(); ++i)
      if (with[i].tokens != without[i].tokens)
        return fail(ErrorCode::kInternal, "round {}, request {}: tokens differ after a hit", round, i);
    if (with[1].report.cached_tokens == 0 && options.prefix_tokens >= kPageTokens)
      return fail(ErrorCode::kInternal, "round {}: nothing was cached", round);
    if (round == 0) continue;
    figures.rounds.push_back({with[0].first_token_seconds, with[1].first_token_seconds,
                              without[1].first_token_seconds, with[1].report.prompt_tokens,
                              with[1].report.cached_tokens});
    hits.emplace_back().add(with[1].report);
    misses.emplace_back().add(without[1].report);
    fmt::print(stderr, "round {} of {}: first {:.1f} ms, second {:.1f} ms, missed {:.1f} ms\n", round,
               options.rounds, 1e3 * with[0].first_token_seconds, 1e3 * with[1].first_token_seconds,
               1e3 * without[1].first_token_seconds);
  }
  figures.hit = accept_figures(hits, options.seed);
  figures.miss = accept_figures(misses, options.seed);
  figures.hit_to_miss = length_ratio(hits, misses, options.seed);
  return figures;
}

Result<void> run_bench_prefix(const BenchPrefixOptions& options, std::FILE* out) {
  const auto figures = bench_prefix(options);
  if (!figures) return tl::make_unexpected(figures.error());
  std::vector<double> to_first;
  std::vector<double> to_missed;
  for (const PrefixRound& round : figures->rounds) {
    to_first.push_back(round.second_seconds / round.first_seconds);
    to_missed.push_back(round.second_seconds / round.missed_seconds);
  }
  const auto range = [](const std::vector<double>& values) {
    return Interval{median(values), percentile(values, 0.0), percentile(values, 1.0)};
  };
  const PrefixRound& last = figures->rounds.back();
  Report report;
  report.say(
      fmt::format("time to first token, second / first: {}; hit / miss of the second: {} (median and range)",
                  interval_text(range(to_first)), interval_text(range(to_missed))));
  report.say(fmt::format("second prompt: {} tokens, {} cached, {} rows computed", last.prompt_tokens,
                         last.cached_tokens, last.prompt_tokens - last.cached_tokens));
  report.say(
      fmt::format("tokens per step after a hit {}, after a miss {}, ratio {} (95 % intervals); same tokens",
                  interval_text(figures->hit.token_weighted), interval_text(figures->miss.token_weighted),
                  interval_text(figures->hit_to_miss.token_weighted)));
  report.fact("prefix_tokens", options.prefix_tokens);
  report.fact("prompt_tokens", last.prompt_tokens);
  report.fact("cached_tokens", last.cached_tokens);
  report.fact("rows_computed", last.prompt_tokens - last.cached_tokens);
  report.fact("first_token_ratio_to_first", interval_json(range(to_first)));
  report.fact("first_token_ratio_to_miss", interval_json(range(to_missed)));
  report.fact("mean_accepted_length_hit", interval_json(figures->hit.token_weighted));
  report.fact("mean_accepted_length_miss", interval_json(figures->miss.token_weighted));
  report.fact("mean_accepted_length_ratio", interval_json(figures->hit_to_miss.token_weighted));
  return report.write(out, options.json);
}

}  // namespace ft::eval
