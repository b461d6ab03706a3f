#include "eval/simulate/acceptance_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ft::eval {
namespace {

TEST(AcceptanceSource, SpreadsChancesAroundTheirMean) {
  for (const double spread : {0.0, 0.5, 2.0}) {
    const AcceptanceSource source({{"d", 1.0, {{0.8, 0.4, 0.2}, {0.6, 0.4, 0.2}}}}, spread);
    std::mt19937_64 random(1);
    std::normal_distribution<> normal;
    double sum[2] = {0.0, 0.0};
    constexpr int kDraws = 200'000;
    for (int i = 0; i < kDraws; ++i)
      for (int depth = 1; depth <= 2; ++depth)
        sum[depth - 1] += 1.0 / (1.0 + std::exp(-source.log_odds(0, depth, normal(random))));
    EXPECT_NEAR(sum[0] / kDraws, 0.8, 0.003) << spread;
    EXPECT_NEAR(sum[1] / kDraws, 0.6, 0.003) << spread;
    // Deeper than what is known is like the deepest that is.
    EXPECT_EQ(source.log_odds(0, 7, 0.3), source.log_odds(0, 2, 0.3));
  }
}

TEST(AcceptanceSource, TakesARecordedRunAsItWas) {
  // Two domains: all steps of one accept the first draft in 60 %, of the other in 90 %.
  CellRun run;
  for (const auto& [domain, accepted] : {std::pair("a", 60), std::pair("b", 90)}) {
    PromptRun prompt;
    prompt.domain = domain;
    prompt.counts.requests = 1;
    prompt.counts.steps = 100;
    prompt.counts.accepted_at_depth[0] = accepted;
    run.prompts.push_back(prompt);
  }
  run.ranks = {{200, {140, 20, 10}}};
  Calibration calibration;
  for (int i = 0; i < 100; ++i) calibration.add(i % 2 == 0 ? 0.5 : 0.975, true);
  run.calibration = {calibration.figures()};
  const auto source = AcceptanceSource::of_run(run);
  ASSERT_TRUE(source) << source.error().message;
  ASSERT_EQ(source->domains().size(), 2u);
  EXPECT_LT(source->rates(0, 1).first, 0.7);
  EXPECT_GT(source->rates(1, 1).first, 0.7);
  EXPECT_NEAR(source->rates(0, 1).second, 20.0 / 60.0, 1e-9);
  EXPECT_NEAR(source->rates(0, 1).third, 10.0 / 40.0, 1e-9);
  // Predictions half of 0.5 and half of 0.975 have this variance around their mean.
  const double mean = 0.7375;
  const double log_odds = source->log_odds(0, 1, 0.0);
  EXPECT_GT(source->spread(), 1.0);
  EXPECT_LT(logit_normal(log_odds, source->spread()).mean, mean);
  run.ranks.clear();
  EXPECT_FALSE(AcceptanceSource::of_run(run));
}

TEST(AcceptanceSource, MixesDomainsByWeight) {
  const AcceptanceSource source({{"a", 1.0, {{0.5, 0, 0}}}, {"b", 3.0, {{0.5, 0, 0}}}}, 0.0);
  EXPECT_EQ(source.domain_at(0.0), 0u);
  EXPECT_EQ(source.domain_at(0.24), 0u);
  EXPECT_EQ(source.domain_at(0.26), 1u);
  EXPECT_EQ(source.domain_at(0.999), 1u);
}

}  // namespace
}  // namespace ft::eval
