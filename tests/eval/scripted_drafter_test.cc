#include "eval/scripted_drafter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/generate_command.h"
#include "eval/loop_runner.h"

namespace ft::eval {
namespace {

TEST(ScriptedDrafter, IsRightAsOftenAsItIsToldAndChangesNoToken) {
  auto backend = make_cpu_backend(Numerics::kOfficial, 1);
  const auto checkpoint = Checkpoint::load(FT_MODELS "/v4-nano-dspark", *backend).value();
  GenerateOptions options;
  options.max_tokens = 100;
  options.temperature = 1.0;
  options.concurrency = 4;
  options.ignore_eos = true;
  const std::vector<std::vector<int32_t>> prompts(8, {0, 100, 200, 300});
  options.tree_nodes = 1;
  options.drafter = "none";
  auto settings = engine_options(options, checkpoint->config(), prompts).value();
  const auto plain = LoopRunner::make(*backend, *checkpoint, settings).value();
  const auto requests = make_requests(options, settings.context, prompts);
  const auto expected = plain->run(requests, options.concurrency).value();

  constexpr double kRate = 0.6;
  options.tree_nodes = 6;
  options.drafter = "dspark";
  settings = engine_options(options, checkpoint->config(), prompts).value();
  scheduler::EngineParts parts;
  parts.wrap_drafter = [&](std::unique_ptr<draft::Drafter> inner) {
    auto scripted = std::make_unique<ScriptedDrafter>(std::move(inner), kRate);
    for (size_t i = 0; i < requests.size(); ++i) {
      std::vector<int32_t> tokens = requests[i].prompt;
      tokens.insert(tokens.end(), expected.completions[i].tokens.begin(),
                    expected.completions[i].tokens.end());
      scripted->learn(requests[i].sampling.seed, std::move(tokens));
    }
    return scripted;
  };
  const auto runner = LoopRunner::make(*backend, *checkpoint, settings, parts).value();
  const auto run = runner->run(requests, options.concurrency).value();
  int64_t steps = 0;
  int64_t first_accepted = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(run.completions[i].tokens, expected.completions[i].tokens);
    steps += run.completions[i].report.steps;
    first_accepted += run.completions[i].report.accepted_at_depth[0];
  }
  // About 330 steps: a standard deviation of 0.027.
  EXPECT_NEAR(static_cast<double>(first_accepted) / static_cast<double>(steps), kRate, 0.11);
  // 1 + r + r^2 + ... + r^5.
  const double length = (1.0 - std::pow(kRate, 6)) / (1.0 - kRate);
  EXPECT_NEAR(totals_of(run).mean_accepted_length(), length, 0.35);
}

}  // namespace
}  // namespace ft::eval
