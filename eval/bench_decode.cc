#include "eval/bench_decode.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/generate_command.h"

namespace ft::eval {

namespace {

struct Arm {
  std::string name;
  GenerateOptions options;
  Session session;
  std::unique_ptr<scheduler::Engine> engine;  // after the session: it borrows from it
  std::vector<double> tokens_per_second;
  GenerateSummary last;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

double tokens_per_second(const GenerateSummary& total, int32_t concurrency) {
  if (concurrency > 1) return static_cast<double>(total.tokens) / total.seconds;
  return static_cast<double>(total.tokens - total.requests) / total.decode_seconds();
}

Result<std::unique_ptr<Arm>> make_arm(const std::string& name, const BenchDecodeOptions& options,
                                      std::vector<std::vector<int32_t>>& prompts) {
  const size_t first = name.find('/');
  const size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  auto arm = std::make_unique<Arm>();
  arm->name = name;
  int32_t nodes = 0;
  const char* end = name.data() + name.size();
  if (second == std::string::npos || std::from_chars(name.data() + second + 1, end, nodes).ptr != end ||
      nodes < 1)
    return fail(ErrorCode::kInvalidArgument, "arm \"{}\": expected backend/drafter/nodes, as in cpu/dspark/8",
                name);
  arm->options.session = {options.model, name.substr(0, first), options.mode, options.threads};
  arm->options.prompts = options.prompts;
  arm->options.drafter = name.substr(first + 1, second - first - 1);
  arm->options.tree_nodes = nodes;
  arm->options.concurrency = options.concurrency;
  arm->options.max_tokens = options.max_tokens;
  arm->options.temperature = options.temperature;
  auto session = open_session(arm->options.session);
  if (!session) return tl::make_unexpected(session.error());
  arm->session = std::move(*session);
  if (prompts.empty()) {
    const auto tokenizer = open_tokenizer(options.model);
    auto read = read_prompts(options.prompts, arm->session.config(), tokenizer ? tokenizer->get() : nullptr);
    if (!read) return tl::make_unexpected(read.error());
    if (read->empty()) return fail(ErrorCode::kInvalidFile, "{}: has no prompts", options.prompts);
    prompts = std::move(*read);
  }
  const auto settings = engine_options(arm->options, arm->session.config(), prompts);
  if (!settings) return tl::make_unexpected(settings.error());
  auto engine = scheduler::Engine::create(*arm->session.backend, *arm->session.checkpoint, *settings);
  if (!engine) return tl::make_unexpected(engine.error());
  arm->engine = std::move(*engine);
  return arm;
}

}  // namespace

Result<void> run_bench_decode(const BenchDecodeOptions& options) {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::unique_ptr<Arm>> arms;
  for (const std::string& name : options.arms) {
    auto arm = make_arm(name, options, prompts);
    if (!arm) return tl::make_unexpected(arm.error());
    arms.push_back(std::move(*arm));
  }
  if (arms.empty() || options.rounds < 1) return fail(ErrorCode::kInvalidArgument, "nothing to measure");
  std::vector<std::vector<int32_t>> expected;
  // Round 0 warms every arm up and compares the tokens; it is not counted.
  for (int round = 0; round <= options.rounds; ++round) {
    for (const auto& arm : arms) {
      const auto completions = generate(*arm->engine, arm->options, prompts, &arm->last);
      if (!completions) return tl::make_unexpected(completions.error());
      if (round > 0) arm->tokens_per_second.push_back(tokens_per_second(arm->last, options.concurrency));
      // The reference backend sums in float64: its bits, and at a near tie its tokens, are its own.
      if (arm->options.session.backend != arms[0]->options.session.backend) continue;
      std::vector<std::vector<int32_t>> tokens;
      for (const Completion& completion : *completions) tokens.push_back(completion.tokens);
      if (expected.empty()) expected = tokens;
      if (tokens != expected)
        return fail(ErrorCode::kInternal, "{} and {} produced different tokens", arm->name, arms[0]->name);
    }
    fmt::print(stderr, "round {} of {}\n", round, options.rounds);
  }
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  fmt::print("{:<24} {:>10} {:>8} {:>17} {:>10}\n", "arm", "tokens/s", "ratio", "range", "accepted");
  for (const auto& arm : arms) {
    std::vector<double> ratios;
    for (size_t i = 0; i < arm->tokens_per_second.size(); ++i)
      ratios.push_back(arm->tokens_per_second[i] / arms[0]->tokens_per_second[i]);
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    fmt::print("{:<24} {:>10.1f} {:>8.3f} {:>8.3f}-{:<8.3f} {:>10.3f}\n", arm->name,
               median(arm->tokens_per_second), median(ratios), *low, *high, arm->last.mean_accepted_length());
    report.push_back({{"arm", arm->name},
                      {"tokens_per_second", arm->tokens_per_second},
                      {"ratio", median(ratios)},
                      {"mean_accepted_length", arm->last.mean_accepted_length()},
                      {"tokens", arm->last.tokens}});
  }
  if (options.json.empty()) return {};
  std::ofstream out(options.json);
  out << report.dump(2) << '\n';
  if (!out) return fail(ErrorCode::kNotFound, "{}: cannot be written", options.json);
  return {};
}

}  // namespace ft::eval
