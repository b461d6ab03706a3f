#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ft::eval {
namespace {

TEST(Statistics, TakesMediansAndPercentiles) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 3);
  std::vector<double> hundred;
  for (int i = 100; i >= 1; --i) hundred.push_back(i);
  EXPECT_EQ(percentile(hundred, 0.0), 1);
  EXPECT_EQ(percentile(hundred, 0.5), 50);
  EXPECT_EQ(percentile(hundred, 0.99), 99);
  EXPECT_EQ(percentile(hundred, 1.0), 100);
}

double weighted_mean(const std::vector<double>& values, std::span<const int32_t> counts) {
  double sum = 0.0;
  double total = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += counts[i] * values[i];
    total += counts[i];
  }
  return sum / total;
}

TEST(Statistics, BootstrapsTheIntervalThatTheVarianceDemands) {
  // 400 values of variance 1/12: the mean has a standard error of sqrt(1/12/400).
  std::mt19937_64 random(7);
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(static_cast<double>(random() >> 11) * 0x1p-53);
  const auto mean = [&](std::span<const int32_t> counts) { return weighted_mean(values, counts); };
  const Interval interval = bootstrap(values.size(), mean, 1);
  const double error = std::sqrt(1.0 / 12.0 / 400.0);
  EXPECT_NEAR(interval.value, 0.5, 4 * error);
  EXPECT_NEAR(interval.high - interval.low, 2 * 1.96 * error, 0.1 * 2 * 1.96 * error);
  EXPECT_LT(interval.low, interval.value);
  EXPECT_LT(interval.value, interval.high);
  const Interval again = bootstrap(values.size(), mean, 1);
  EXPECT_EQ(again.low, interval.low);
  EXPECT_EQ(again.high, interval.high);
  EXPECT_NE(bootstrap(values.size(), mean, 2).low, interval.low);
}

TEST(Statistics, PairsArmsThatShareTheirItems) {
  // Items differ widely, the arms by 10 % on every item: a paired ratio does not spread at all.
  const std::vector<double> base = {1, 5, 20, 3, 9, 40, 2, 8};
  const Interval ratio = bootstrap(
      base.size(),
      [&](std::span<const int32_t> counts) {
        double above = 0.0;
        for (size_t i = 0; i < base.size(); ++i) above += counts[i] * 1.1 * base[i];
        double below = 0.0;
        for (size_t i = 0; i < base.size(); ++i) below += counts[i] * base[i];
        return above / below;
      },
      3);
  EXPECT_NEAR(ratio.low, 1.1, 1e-12);
  EXPECT_NEAR(ratio.high, 1.1, 1e-12);
}

TEST(Statistics, HasNoIntervalForLessThanTwoItems) {
  const Interval one = bootstrap(
      1, [](std::span<const int32_t> counts) { return 5.0 * counts[0]; }, 1);
  EXPECT_EQ(one.low, 5.0);
  EXPECT_EQ(one.high, 5.0);
  EXPECT_EQ(bootstrap(
                0, [](std::span<const int32_t>) { return 0.0; }, 1)
                .value,
            0.0);
}

}  // namespace
}  // namespace ft::eval
