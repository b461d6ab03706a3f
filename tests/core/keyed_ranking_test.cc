// The keyed ranking against its definition: every score computed, everything sorted.
#include "core/keyed_ranking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace ft {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

std::vector<RankedToken> by_definition(std::span<const float> logits, std::span<const int32_t> candidates,
                                       double temperature, NoiseKey key, int64_t count) {
  std::vector<RankedToken> all;
  for (const int32_t token : candidates) {
    const float logit = logits[static_cast<size_t>(token)];
    if (std::isnan(logit) || logit == -kInfinity) continue;
    const double x = static_cast<double>(std::min(logit, kLargest));
    all.push_back({token, temperature < kGreedyTemperature ? x : x / temperature + gumbel(key, token)});
  }
  std::sort(all.begin(), all.end(), [](const RankedToken& a, const RankedToken& b) {
    return a.score != b.score ? a.score > b.score : a.token < b.token;
  });
  all.resize(std::min(all.size(), static_cast<size_t>(count)));
  return all;
}

void expect_same(std::span<const RankedToken> actual, const std::vector<RankedToken>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(actual[i].token, expected[i].token) << "rank " << i;
    ASSERT_EQ(actual[i].score, expected[i].score) << "rank " << i;
  }
}

struct Shape {
  const char* name;
  std::function<float(std::mt19937_64&, size_t)> logit;
};

const Shape kShapes[] = {
    {"model-like", [](auto& rng, size_t) { return std::normal_distribution<float>(0, 3)(rng); }},
    {"flat", [](auto&, size_t) { return 1.5f; }},
    {"few values, many ties", [](auto& rng, size_t) { return static_cast<float>(rng() % 3); }},
    {"ascending", [](auto&, size_t i) { return 0.01f * static_cast<float>(i); }},
    {"descending", [](auto&, size_t i) { return -0.01f * static_cast<float>(i); }},
    {"huge", [](auto& rng, size_t) { return std::normal_distribution<float>(0, 1e37f)(rng); }},
    {"far from zero", [](auto& rng, size_t) { return 1e6f + std::normal_distribution<float>(0, 3)(rng); }},
    {"tiny", [](auto& rng, size_t) { return std::normal_distribution<float>(0, 1e-40f)(rng); }},
    {"broken here and there",
     [](auto& rng, size_t) {
       const uint64_t kind = rng() % 8;
       return kind == 0 ? kNan : kind == 1 ? -kInfinity : std::normal_distribution<float>(0, 3)(rng);
     }},
    {"with infinities",
     [](auto& rng, size_t) { return rng() % 50 == 0 ? kInfinity : static_cast<float>(rng() % 9); }},
    {"extremes", [](auto& rng, size_t) { return rng() % 2 == 0 ? kLargest : -kLargest; }},
    {"mostly forbidden", [](auto& rng, size_t) { return rng() % 300 == 0 ? 0.5f : -kInfinity; }},
};

TEST(KeyedRanking, IsTheSortedListOfExactScores) {
  KeyedRanking ranking;
  std::mt19937_64 rng(11);
  for (const Shape& shape : kShapes) {
    for (const size_t vocab :
         {size_t{1}, size_t{2}, size_t{5}, size_t{511}, size_t{512}, size_t{513}, size_t{2048}}) {
      std::vector<float> logits(vocab);
      for (size_t i = 0; i < vocab; ++i) logits[i] = shape.logit(rng, i);
      std::vector<int32_t> everything(vocab);
      std::iota(everything.begin(), everything.end(), 0);
      std::vector<int32_t> some;
      std::sample(everything.begin(), everything.end(), std::back_inserter(some), 1 + vocab / 3, rng);
      std::shuffle(some.begin(), some.end(), rng);
      for (const double temperature : {0.0, 9e-6, 1e-5, 0.3, 1.0, 2.5, 100.0}) {
        for (const int64_t count : {1, 2, 7, 40}) {
          SCOPED_TRACE(testing::Message()
                       << shape.name << " vocab " << vocab << " T " << temperature << " count " << count);
          const NoiseKey key{rng(), static_cast<int64_t>(rng() % 100000)};
          ASSERT_NO_FATAL_FAILURE(expect_same(ranking.rank(logits, temperature, key, count),
                                              by_definition(logits, everything, temperature, key, count)));
          ASSERT_NO_FATAL_FAILURE(expect_same(ranking.rank(logits, some, temperature, key, count),
                                              by_definition(logits, some, temperature, key, count)));
        }
      }
    }
  }
}

TEST(KeyedRanking, IsExactForTheRealVocabulary) {
  KeyedRanking ranking;
  std::mt19937_64 rng(12);
  std::vector<float> logits(129280);
  std::vector<int32_t> everything(logits.size());
  std::iota(everything.begin(), everything.end(), 0);
  for (const float spread : {0.0f, 1.0f, 4.0f}) {
    for (float& logit : logits) logit = std::normal_distribution<float>(0, spread > 0 ? spread : 1e-30f)(rng);
    for (const int64_t count : {1, 8}) {
      const NoiseKey key{rng(), 77};
      ASSERT_NO_FATAL_FAILURE(expect_same(ranking.rank(logits, 1.0, key, count),
                                          by_definition(logits, everything, 1.0, key, count)));
    }
  }
}

TEST(KeyedRanking, NothingUsableIsEmpty) {
  KeyedRanking ranking;
  for (const double temperature : {0.0, 1.0}) {
    EXPECT_TRUE(ranking.rank(std::vector<float>(600, kNan), temperature, {1, 1}, 3).empty());
    EXPECT_TRUE(ranking.rank(std::vector<float>(600, -kInfinity), temperature, {1, 1}, 3).empty());
    EXPECT_TRUE(ranking.rank({}, temperature, {1, 1}, 3).empty());
    EXPECT_TRUE(
        ranking.rank(std::vector<float>(600, 0.0f), std::span<const int32_t>{}, temperature, {1, 1}, 3)
            .empty());
  }
}

TEST(KeyedRanking, GreedyTiesGoToTheLowestId) {
  KeyedRanking ranking;
  std::vector<float> logits(1000, 1.0f);
  logits[3] = logits[700] = logits[20] = 2.0f;
  const auto best = ranking.rank(logits, 0.0, {5, 5}, 4);
  ASSERT_EQ(best.size(), 4u);
  EXPECT_EQ(best[0].token, 3);
  EXPECT_EQ(best[1].token, 20);
  EXPECT_EQ(best[2].token, 700);
  EXPECT_EQ(best[3].token, 0);
}

}  // namespace
}  // namespace ft
