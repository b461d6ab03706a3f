#include "draft/acceptance_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "draft/conditional_split.h"

namespace ft::draft {
namespace {

constexpr double kNear = 2e-5;  // as near as Sigmoid is

double logistic(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

TEST(AcceptanceTable, HasParametersPerSourceDepthAndRank) {
  AcceptanceTable model;
  model.row(DraftSource::kNgram, 2).set(1, {0.5f, -1.0f});
  EXPECT_NEAR(model.probability(DraftSource::kNgram, 2, 1, 3.0f), logistic(0.5), kNear);
  EXPECT_NEAR(model.probability(DraftSource::kNgram, 2, 0, 3.0f), logistic(3.0), kNear);
  EXPECT_NEAR(model.probability(DraftSource::kNgram, 1, 1, 3.0f), logistic(3.0), kNear);
  EXPECT_NEAR(model.probability(DraftSource::kModel, 2, 1, 3.0f), logistic(3.0), kNear);
}

TEST(AcceptanceTable, WhatIsDeeperOrLaterUsesTheLastParameters) {
  AcceptanceTable model;
  model.row(DraftSource::kModel, kAcceptanceDepths).set(kBranchMax - 1, {2.0f, 0.25f});
  EXPECT_NEAR(model.probability(DraftSource::kModel, 16, 7, 1.0f), logistic(2.25), kNear);
}

TEST(Sigmoid, IsNearTheLogisticFunctionAndNeverFalls) {
  float before = 0.0f;
  for (int i = -20000; i <= 20000; ++i) {
    const float x = static_cast<float>(i) * 1e-3f;
    const float got = kSigmoid(x);
    ASSERT_NEAR(got, logistic(static_cast<double>(x)), 2e-5) << x;
    ASSERT_GE(got, before) << x;
    ASSERT_LE(got, 1.0f) << x;
    before = got;
  }
}

TEST(Sigmoid, IsNever0) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (float x : {-16.0f, -1e30f, -infinity, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_NEAR(kSigmoid(x) / logistic(-16.0), 1.0, 1e-6) << x;
  for (float x : {16.0f, 1e30f, infinity}) EXPECT_EQ(kSigmoid(x), 1.0f) << x;
  EXPECT_LT(kSigmoid(15.5f), 1.0f);
}

TEST(AcceptanceTable, AScoreIsBounded) {
  EXPECT_EQ(bounded_score(1.5f), 1.5f);
  EXPECT_EQ(bounded_score(99.0f), kScoreMost);
  EXPECT_EQ(bounded_score(-99.0f), -kScoreMost);
  EXPECT_EQ(bounded_score(std::numeric_limits<float>::quiet_NaN()), -kScoreMost);
}

TEST(AcceptanceTable, StartsFromScoresAndAboveTemperature0FromRanks) {
  for (DraftSource source : {DraftSource::kModel, DraftSource::kNgram}) {
    EXPECT_NEAR(default_acceptance(true).probability(source, 3, 0, 1.5f), logistic(1.5), kNear);
    EXPECT_NEAR(default_acceptance(true).probability(source, 3, 1, 1.5f), logistic(1.5), kNear);
    EXPECT_NEAR(default_acceptance(false).probability(source, 3, 0, 1.5f), logistic(1.5), kNear);
    EXPECT_NEAR(default_acceptance(false).probability(source, 3, 1, 1.5f), 0.5, kNear);
  }
  EXPECT_GT(default_acceptance(true).probability(DraftSource::kBoth, 1, 0, 0.3f), logistic(0.3));
}

TEST(AcceptanceTable, LogOddsInvertTheLogisticFunctionBetweenItsEdges) {
  for (float p : {0.001f, 0.2f, 0.5f, 0.97f}) EXPECT_NEAR(kSigmoid(log_odds(p)), p, kNear);
  for (float p : {0.0f, -1.0f, 1.0f, 2.0f}) EXPECT_LT(std::abs(log_odds(p)), kScoreMost) << p;
  EXPECT_EQ(log_odds(std::numeric_limits<float>::quiet_NaN()), log_odds(0.0f));
  EXPECT_NEAR(log_odds(0.8f), std::log(4.0), 1e-6);
}

TEST(ConditionalSplit, ChildrenTakeTheirPartOfWhatIsLeft) {
  AcceptanceTable model;
  model.row(DraftSource::kModel, 2).set(1, {1.0f, 0.5f});
  ConditionalSplit split;
  const double first = logistic(0.4);
  const double second = (1.0 - first) * logistic(-0.3 + 0.5);
  const double third = (1.0 - first - second) * logistic(0.2);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 0, 0.4f), first, kNear);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 1, -0.3f), second, kNear);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 2, 0.2f), third, kNear);
}

TEST(ConditionalSplit, KeepsTheOrderOfEachSource) {
  const AcceptanceTable model;
  ConditionalSplit split;
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 1, 0, std::log(0.25f)), 0.2, kNear);
  EXPECT_NEAR(split.next(model, DraftSource::kBoth, 1, 1, 9.0f), 0.2, kNear);
  // n-grams behind them are not bound by them, but by each other.
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 0, 0.0f), 0.3, kNear);
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 1, 40.0f), 0.3, kNear);
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 2, 40.0f), 0.0, kNear);
}

TEST(ConditionalSplit, WhatIsCertainLeavesNothing) {
  const AcceptanceTable model;
  ConditionalSplit split;
  EXPECT_EQ(split.next(model, DraftSource::kModel, 1, 0, 20.0f), 1.0f);
  EXPECT_EQ(split.next(model, DraftSource::kModel, 1, 1, 0.0f), 0.0f);
  EXPECT_EQ(split.next(model, DraftSource::kNgram, 1, 0, 0.0f), 0.0f);
}

}  // namespace
}  // namespace ft::draft
