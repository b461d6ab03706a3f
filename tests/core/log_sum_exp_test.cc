// The softmax pieces against double arithmetic.
#include "core/log_sum_exp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace ft {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

TEST(SoftmaxTerms, FollowExpWithinTheStatedError) {
  std::vector<float> x;
  for (float v = 0.0f; v >= -86.9f; v -= 0.00371f) x.push_back(v);
  std::vector<float> terms(x.size());
  softmax_terms(x, 0.0f, 1.0f, terms.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    ASSERT_NEAR(static_cast<double>(terms[i]) / exact, 1.0, 3e-7) << x[i];
  }
}

TEST(SoftmaxTerms, EdgesAndPlaceInTheSpan) {
  const std::vector<float> logits = {kInfinity, 2.0f, kNan, -kInfinity, -100.0f, 0.5f, 2.0f};
  std::vector<float> terms(logits.size());
  softmax_terms(logits, 2.0f, 1.0f, terms.data());
  EXPECT_EQ(terms[1], 1.0f);
  EXPECT_EQ(terms[2], 0.0f);
  EXPECT_EQ(terms[3], 0.0f);
  EXPECT_EQ(terms[4], 0.0f);
  EXPECT_EQ(terms[6], 1.0f);
  for (size_t i = 1; i < logits.size(); ++i) {
    float alone = -1;
    softmax_terms({&logits[i], 1}, 2.0f, 1.0f, &alone);
    EXPECT_EQ(alone, terms[i]) << i;
  }
}

TEST(LargestLogit, IgnoresNanAndClampsInfinity) {
  EXPECT_EQ(largest_logit({}), -kInfinity);
  EXPECT_EQ(largest_logit(std::vector<float>(37, kNan)), -kInfinity);
  EXPECT_EQ(largest_logit(std::vector<float>(37, kInfinity)), kLargest);
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::vector<float> logits(size, -3.0f);
      logits[0] = kNan;
      logits[at] = 4.0f;
      ASSERT_EQ(largest_logit(logits), 4.0f) << size << " " << at;
    }
  }
}

TEST(LogSumExp, MatchesDouble) {
  std::mt19937_64 rng(3);
  for (const size_t vocab : {size_t{1}, size_t{3}, size_t{64}, size_t{65}, size_t{129280}}) {
    for (const float spread : {0.01f, 3.0f, 30.0f}) {
      for (const double temperature : {0.2, 1.0, 50.0}) {
        std::vector<float> logits(vocab);
        for (float& logit : logits) logit = 5.0f + std::normal_distribution<float>(0, spread)(rng);
        if (vocab > 3) logits[2] = kNan;
        if (vocab > 3) logits[3] = -kInfinity;
        double largest = -1e300, sum = 0;
        for (const float logit : logits) {
          if (!std::isnan(logit)) largest = std::max(largest, static_cast<double>(logit) / temperature);
        }
        for (const float logit : logits) {
          if (!std::isnan(logit)) sum += std::exp(static_cast<double>(logit) / temperature - largest);
        }
        ASSERT_NEAR(log_sum_exp(logits, 1.0 / temperature), largest + std::log(sum), 1e-5)
            << vocab << " " << spread;
      }
    }
  }
  EXPECT_EQ(log_sum_exp(std::vector<float>(5, kNan), 1.0), -std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace ft
