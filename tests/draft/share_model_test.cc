#include "draft/share_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "draft/share_split.h"

namespace ft::draft {
namespace {

double logistic(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

TEST(ShareModel, has_parameters_per_source_depth_and_rank) {
  ShareModel model;
  model.row(DraftSource::kNgram, 2).set(1, {0.5f, -1.0f});
  EXPECT_NEAR(model.share(DraftSource::kNgram, 2, 1, 3.0f), logistic(0.5), 1e-6);
  EXPECT_NEAR(model.share(DraftSource::kNgram, 2, 0, 3.0f), logistic(3.0), 1e-6);
  EXPECT_NEAR(model.share(DraftSource::kNgram, 1, 1, 3.0f), logistic(3.0), 1e-6);
  EXPECT_NEAR(model.share(DraftSource::kModel, 2, 1, 3.0f), logistic(3.0), 1e-6);
}

TEST(ShareModel, what_is_deeper_or_later_uses_the_last_parameters) {
  ShareModel model;
  model.row(DraftSource::kModel, kShareDepthMax).set(kBranchMax - 1, {2.0f, 0.25f});
  EXPECT_NEAR(model.share(DraftSource::kModel, 16, 7, 1.0f), logistic(2.25), 1e-6);
}

TEST(ShareModel, four_ranks_at_once_have_the_same_bits_as_one_by_one) {
  ShareRow row;
  row.set(0, {0.7f, 0.3f});
  row.set(1, {1.5f, -1.0f});
  row.set(kBranchMax - 1, {0.4f, 2.0f});
  for (float score : {-90.0f, -9.0f, -0.3f, 0.0f, 0.2f, 4.0f, 100.0f}) {
    const Float4 shares = row.shares(Float4{score, score - 1.0f, score + 1.0f, score * 0.5f});
    EXPECT_EQ(shares[0], row.share(0, score)) << score;
    EXPECT_EQ(shares[1], row.share(1, score - 1.0f)) << score;
    EXPECT_EQ(shares[2], row.share(2, score + 1.0f)) << score;
    EXPECT_EQ(shares[3], row.share(3, score * 0.5f)) << score;
  }
}

TEST(ShareModel, starts_from_scores_and_above_temperature_0_from_ranks) {
  for (DraftSource source : {DraftSource::kModel, DraftSource::kNgram}) {
    EXPECT_NEAR(default_share_model(true).share(source, 3, 0, 1.5f), logistic(1.5), 1e-6);
    EXPECT_NEAR(default_share_model(true).share(source, 3, 1, 1.5f), logistic(1.5), 1e-6);
    EXPECT_NEAR(default_share_model(false).share(source, 3, 0, 1.5f), logistic(1.5), 1e-6);
    EXPECT_NEAR(default_share_model(false).share(source, 3, 1, 1.5f), 0.5, 1e-6);
  }
  EXPECT_GT(default_share_model(true).share(DraftSource::kBoth, 1, 0, 0.3f), logistic(0.3));
}

TEST(ShareModel, log_odds_invert_the_logistic_function_between_its_edges) {
  for (float p : {0.001f, 0.2f, 0.5f, 0.97f}) EXPECT_NEAR(sigmoid(log_odds(p)), p, 1e-6);
  for (float p : {0.0f, -1.0f, 1.0f, 2.0f}) EXPECT_TRUE(std::isfinite(log_odds(p))) << p;
  EXPECT_NEAR(log_odds(0.8f), std::log(4.0), 1e-6);
}

TEST(ShareSplit, children_take_their_part_of_what_is_left) {
  ShareModel model;
  model.row(DraftSource::kModel, 2).set(1, {1.0f, 0.5f});
  ShareSplit split;
  const double first = logistic(0.4);
  const double second = (1.0 - first) * logistic(-0.3 + 0.5);
  const double third = (1.0 - first - second) * logistic(0.2);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 0, 0.4f), first, 1e-6);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 1, -0.3f), second, 1e-6);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 2, 2, 0.2f), third, 1e-6);
}

TEST(ShareSplit, keeps_the_order_of_each_source) {
  const ShareModel model;
  ShareSplit split;
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 1, 0, std::log(0.25f)), 0.2, 1e-6);
  EXPECT_NEAR(split.next(model, DraftSource::kBoth, 1, 1, 9.0f), 0.2, 1e-6);
  // n-grams behind them are not bound by them, but by each other.
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 0, 0.0f), 0.3, 1e-6);
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 1, 40.0f), 0.3, 1e-6);
  EXPECT_NEAR(split.next(model, DraftSource::kNgram, 1, 2, 40.0f), 0.0, 1e-6);
}

TEST(ShareSplit, a_score_that_is_not_a_number_takes_nothing) {
  const ShareModel model;
  ShareSplit split;
  EXPECT_FALSE(split.next(model, DraftSource::kModel, 1, 0, std::numeric_limits<float>::quiet_NaN()) > 0.0f);
  EXPECT_NEAR(split.next(model, DraftSource::kModel, 1, 1, 0.0f), 0.5, 1e-6);
}

}  // namespace
}  // namespace ft::draft
