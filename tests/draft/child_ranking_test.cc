#include "draft/child_ranking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace ft::draft {
namespace {

std::vector<int32_t> ranked(std::span<const float> logits, const Ranking& ranking, size_t count) {
  std::vector<RankedChild> best(count);
  best.resize(ChildRanking().rank(logits, ranking, best));
  std::vector<int32_t> tokens;
  for (const RankedChild& child : best) tokens.push_back(child.token);
  return tokens;
}

// The definition: every token's score, sorted.
std::vector<int32_t> sorted(std::span<const float> logits, const Ranking& ranking, size_t count) {
  std::vector<double> scores;
  for (size_t v = 0; v < logits.size(); ++v)
    scores.push_back(ranking.temperature == 0.0
                         ? static_cast<double>(logits[v])
                         : logits[v] / ranking.temperature + gumbel(ranking.noise, static_cast<int32_t>(v)));
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(std::min(count, order.size()));
  return order;
}

std::vector<float> random_logits(size_t count, float deviation, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(ChildRanking, EqualsTheSortedScores) {
  for (size_t vocabulary : {1, 2, 7, 512, 20001})
    for (float deviation : {0.0f, 0.5f, 4.0f, 30.0f})
      for (double temperature : {0.0, 0.1, 0.7, 1.0, 3.0})
        for (size_t count : {1, 3, 8}) {
          const uint32_t seed = static_cast<uint32_t>(vocabulary * 31 + count);
          const auto logits = random_logits(vocabulary, deviation, seed);
          const Ranking ranking{temperature, {seed, static_cast<int64_t>(seed) * 3}};
          EXPECT_EQ(ranked(logits, ranking, count), sorted(logits, ranking, count))
              << "V " << vocabulary << ", deviation " << deviation << ", T " << temperature << ", count "
              << count;
        }
}

TEST(ChildRanking, TiesGoToTheLowerId) {
  const std::vector<float> logits = {1.0f, 2.0f, 2.0f, 0.0f, 2.0f};
  EXPECT_EQ(ranked(logits, {}, 4), (std::vector<int32_t>{1, 2, 4, 0}));
}

TEST(ChildRanking, NoiseIsOfTheSeedAndThePosition) {
  const std::vector<float> flat(1000, 0.0f);
  const auto base = ranked(flat, {1.0, {5, 10}}, 3);
  EXPECT_EQ(base, ranked(flat, {1.0, {5, 10}}, 3));
  EXPECT_NE(base, ranked(flat, {1.0, {6, 10}}, 3));
  EXPECT_NE(base, ranked(flat, {1.0, {5, 11}}, 3));
}

TEST(ChildRanking, PassesOverWhatIsNotANumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {nan, -infinity, 1.0f, nan, 3.0f, -infinity, 2.0f};
  for (double temperature : {0.0, 1.0}) {
    auto tokens = ranked(logits, {temperature, {1, 1}}, 5);
    std::ranges::sort(tokens);
    EXPECT_EQ(tokens, (std::vector<int32_t>{2, 4, 6})) << temperature;
  }
  EXPECT_TRUE(ranked(std::vector<float>{nan, -infinity}, {}, 2).empty());
  EXPECT_TRUE(ranked({}, {}, 2).empty());
}

TEST(ChildRanking, ProbabilitiesAreTheSoftmaxAtTheTemperature) {
  for (double temperature : {0.0, 0.5, 1.0, 2.0}) {
    const auto logits = random_logits(5003, 3.0f, 17);
    const double t = temperature == 0.0 ? 1.0 : temperature;
    double sum = 0.0;
    for (float logit : logits) sum += std::exp(logit / t);
    std::vector<RankedChild> best(8);
    ASSERT_EQ(ChildRanking().rank(logits, {temperature, {3, 4}}, best), 8u);
    for (const RankedChild& child : best)
      EXPECT_NEAR(child.probability, std::exp(logits[static_cast<size_t>(child.token)] / t) / sum, 1e-4)
          << temperature;
  }
}

TEST(ConditionalScores, AreTheOddsAmongWhatTheChildrenBeforeLeave) {
  const std::vector<RankedChild> children = {{5, 0.6f}, {6, 0.3f}, {7, 0.05f}};
  std::vector<float> scores(3);
  conditional_scores(children, scores);
  const double want[] = {0.6, 0.3 / 0.4, 0.05 / 0.1};
  for (size_t j = 0; j < 3; ++j) EXPECT_NEAR(scores[j], std::log(want[j] / (1.0 - want[j])), 1e-5) << j;
  // Nothing is left, or less than nothing by rounding: still numbers.
  conditional_scores(std::vector<RankedChild>{{5, 1.0f}, {6, 0.0f}, {7, 1e-8f}}, scores);
  for (float score : scores) EXPECT_TRUE(std::isfinite(score));
}

}  // namespace
}  // namespace ft::draft
