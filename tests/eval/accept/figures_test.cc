#include "eval/accept/figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace ft::eval {
namespace {

scheduler::RequestReport report(int64_t completion_tokens, int64_t steps, int64_t drafted,
                                std::vector<int64_t> accepted_at_depth) {
  scheduler::RequestReport made;
  made.completion_tokens = completion_tokens;
  made.steps = steps;
  made.drafted = drafted;
  for (size_t i = 0; i < accepted_at_depth.size(); ++i) made.accepted_at_depth[i] = accepted_at_depth[i];
  return made;
}

TEST(AcceptFigures, WeighsByRequestAndByStep) {
  std::vector<AcceptCounts> prompts(3);
  // One request emits 12 tokens in 4 steps, the other 6 in 6. The first token of each comes from its prompt.
  prompts[0].add(report(13, 4, 20, {4, 3, 1}));
  prompts[1].add(report(7, 6, 6, {}));
  // A request that ends with its first token has no step.
  prompts[2].add(report(1, 0, 0, {}));
  const AcceptFigures figures = accept_figures(prompts, 1);
  EXPECT_EQ(figures.requests, 2);
  EXPECT_EQ(figures.steps, 10);
  EXPECT_DOUBLE_EQ(figures.request_weighted.value, (3.0 + 1.0) / 2);
  EXPECT_DOUBLE_EQ(figures.token_weighted.value, 18.0 / 10);
  EXPECT_DOUBLE_EQ(figures.rows_per_step, 1.0 + 26.0 / 10);
  ASSERT_EQ(figures.unconditional.size(), 3u);
  EXPECT_DOUBLE_EQ(figures.unconditional[1].value, 3.0 / 10);
  EXPECT_DOUBLE_EQ(figures.conditional[0].value, 4.0 / 10);
  EXPECT_DOUBLE_EQ(figures.conditional[1].value, 3.0 / 4);
  EXPECT_DOUBLE_EQ(figures.conditional[2].value, 1.0 / 3);
}

TEST(AcceptFigures, ComparesArmsPromptByPrompt) {
  std::vector<AcceptCounts> base(20);
  std::vector<AcceptCounts> better(20);
  for (int64_t i = 0; i < 20; ++i) {
    const int64_t steps = 10 + i;
    base[static_cast<size_t>(i)].add(report(1 + steps, steps, 0, {}));
    better[static_cast<size_t>(i)].add(report(1 + 2 * steps, steps, 0, {}));
  }
  const LengthRatio ratio = length_ratio(better, base, 1);
  for (const Interval& interval : {ratio.request_weighted, ratio.token_weighted}) {
    EXPECT_DOUBLE_EQ(interval.value, 2.0);
    EXPECT_DOUBLE_EQ(interval.low, 2.0);
    EXPECT_DOUBLE_EQ(interval.high, 2.0);
  }
  EXPECT_DOUBLE_EQ(length_ratio(base, base, 1).token_weighted.high, 1.0);
}

// Chains of four drafts, each accepted with this chance given the one before.
constexpr double kConditional[] = {0.8, 0.7, 0.6, 0.5};

AcceptCounts synthetic_prompt(std::mt19937_64& random, int64_t steps) {
  scheduler::RequestReport made;
  made.steps = steps;
  for (int64_t step = 0; step < steps; ++step) {
    size_t accepted = 0;
    while (accepted < 4 && std::uniform_real_distribution<>()(random) < kConditional[accepted]) {
      ++made.accepted_at_depth[accepted];
      ++accepted;
    }
    ++made.accepted_histogram[accepted];
    made.accepted += static_cast<int64_t>(accepted);
    made.drafted += 4;
  }
  made.completion_tokens = 1 + steps + made.accepted;
  AcceptCounts counts;
  counts.add(made);
  return counts;
}

TEST(AcceptFigures, EstimateAKnownProcessWithoutBias) {
  std::mt19937_64 random(7);
  std::vector<AcceptCounts> prompts;
  for (int i = 0; i < 400; ++i) prompts.push_back(synthetic_prompt(random, 100));
  const AcceptFigures figures = accept_figures(prompts, 1);
  double survival = 1.0;
  double length = 1.0;
  for (size_t depth = 0; depth < 4; ++depth) {
    // Of 40,000 steps, fewer at each depth.
    const double reached = 40'000.0 * survival;
    const double error = std::sqrt(kConditional[depth] * (1.0 - kConditional[depth]) / reached);
    EXPECT_NEAR(figures.conditional[depth].value, kConditional[depth], 4.0 * error);
    survival *= kConditional[depth];
    EXPECT_NEAR(figures.unconditional[depth].value, survival, 4.0 * 0.0025);
    EXPECT_NEAR(figures.histogram[depth], survival / kConditional[depth] * (1.0 - kConditional[depth]), 0.01);
    length += survival;
  }
  EXPECT_NEAR(figures.token_weighted.value, length, 0.03);
  EXPECT_NEAR(figures.request_weighted.value, length, 0.03);
  EXPECT_NEAR(figures.accepted_per_row.value, length / 5.0, 0.006);
}

TEST(AcceptFigures, IntervalsHoldTheTruthAsOftenAsTheyPromise) {
  // Of each kind: a mean length, which is a ratio of sums over prompts of random weight, and an acceptance
  // rate.
  constexpr int kExperiments = 1000;
  double length = 1.0;
  double survival = 1.0;
  for (const double rate : kConditional) length += survival *= rate;
  std::mt19937_64 random(11);
  int lengths = 0;
  int rates = 0;
  for (int experiment = 0; experiment < kExperiments; ++experiment) {
    std::vector<AcceptCounts> prompts;
    for (int i = 0; i < 150; ++i)
      prompts.push_back(synthetic_prompt(random, 1 + static_cast<int64_t>(random() % 9)));
    const auto emitted = [&](std::span<const int32_t> counts) {
      double part = 0.0, whole = 0.0;
      for (size_t i = 0; i < counts.size(); ++i) {
        part += counts[i] * static_cast<double>(prompts[i].emitted);
        whole += counts[i] * static_cast<double>(prompts[i].steps);
      }
      return part / whole;
    };
    const auto second = [&](std::span<const int32_t> counts) {
      double part = 0.0, whole = 0.0;
      for (size_t i = 0; i < counts.size(); ++i) {
        part += counts[i] * static_cast<double>(prompts[i].accepted_at_depth[1]);
        whole += counts[i] * static_cast<double>(prompts[i].accepted_at_depth[0]);
      }
      return part / whole;
    };
    const auto seed = static_cast<uint64_t>(experiment);
    const Interval by_step = bootstrap(prompts.size(), emitted, seed, 500);
    lengths += by_step.low <= length && length <= by_step.high ? 1 : 0;
    const Interval rate = bootstrap(prompts.size(), second, seed, 500);
    rates += rate.low <= kConditional[1] && kConditional[1] <= rate.high ? 1 : 0;
  }
  for (const int held : {lengths, rates}) {
    EXPECT_GE(held, kExperiments * 93 / 100);
    EXPECT_LE(held, kExperiments * 97 / 100);
  }
}

TEST(AcceptFigures, PairingSeesADifferenceThatPromptsWouldHide) {
  // Prompts differ much, the arms little: one arm emits five percent more of every prompt.
  std::mt19937_64 random(3);
  std::vector<AcceptCounts> base;
  std::vector<AcceptCounts> better;
  for (int i = 0; i < 60; ++i) {
    const auto per_step = 20 + static_cast<int64_t>(random() % 400);
    base.push_back({});
    base.back().add(report(1 + 100 * per_step, 100, 0, {}));
    better.push_back({});
    better.back().add(report(1 + 105 * per_step, 100, 0, {}));
  }
  const LengthRatio ratio = length_ratio(better, base, 1);
  EXPECT_NEAR(ratio.token_weighted.value, 1.05, 1e-9);
  EXPECT_GT(ratio.token_weighted.low, 1.04);
  EXPECT_LT(accept_figures(better, 1).token_weighted.low, accept_figures(base, 1).token_weighted.high);
}

}  // namespace
}  // namespace ft::eval
