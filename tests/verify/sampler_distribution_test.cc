// Keyed sampling is sampling: the distribution over positions and over seeds, and what coupling promises.
//
// Chi-square at alpha = 1e-6. With n = 200000 draws and 8 tokens (7 degrees, limit about 41) a statistic is
// found with probability 0.99 once n * sum d^2 / p is 75: for a token of probability 0.1, an error of d =
// 0.006.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "tests/verify/reference_sampler.h"
#include "tests/verify/statistics.h"
#include "verify/sampler.h"

namespace ft::verify {
namespace {

constexpr int64_t kDraws = 200000;
constexpr size_t kVocab = 8;
const std::vector<float> kLogits = {1.0f, -0.5f, 2.0f, 0.0f, 0.3f, -2.0f, 1.7f, 1.0f};

std::array<double, kVocab> expected_probability(const SamplingParams& params) {
  ReferenceSampler reference;
  reference.params = params;
  std::array<double, kVocab> probability{};
  for (const auto& [token, p] : reference.distribution(kLogits)) probability[static_cast<size_t>(token)] = p;
  return probability;
}

double degrees(const std::array<double, kVocab>& probability) {
  double cells = 0;
  for (const double p : probability) cells += p > 0 ? 1 : 0;
  return cells - 1;
}

TEST(SamplerDistribution, IsTheProcessedSoftmax) {
  SamplingParams narrow;
  narrow.top_k = 5;
  SamplingParams nucleus;
  nucleus.top_p = 0.8;
  SamplingParams floor;
  floor.min_p = 0.2;
  SamplingParams cold;
  cold.temperature = 0.4;
  SamplingParams hot;
  hot.temperature = 3;
  Sampler sampler;
  SampleResult result;
  for (SamplingParams params : {SamplingParams{}, narrow, nucleus, floor, cold, hot}) {
    const std::array<double, kVocab> probability = expected_probability(params);
    std::array<int64_t, kVocab> along_positions{}, along_seeds{};
    for (int64_t i = 0; i < kDraws; ++i) {
      params.seed = 99;
      sampler.sample(kLogits, params, nullptr, i, {}, result);
      ++along_positions[static_cast<size_t>(result.token)];
      params.seed = static_cast<uint64_t>(i);
      sampler.sample(kLogits, params, nullptr, 1234, {}, result);
      ++along_seeds[static_cast<size_t>(result.token)];
    }
    const double limit = chi_square_limit(degrees(probability));
    EXPECT_LT(chi_square(along_positions, probability), limit)
        << "k " << params.top_k << " T " << params.temperature;
    EXPECT_LT(chi_square(along_seeds, probability), limit)
        << "k " << params.top_k << " T " << params.temperature;
  }
}

// distribution() agrees with the frequencies of sample(), with every parameter in effect at once.
TEST(SamplerDistribution, IsWhatDistributionSays) {
  TokenCounts counts;
  counts.add_prompt(std::vector<int32_t>{2, 4});
  for (const int32_t token : {2, 6, 6, 3}) counts.push(token);
  SamplingParams penalised;
  penalised.repetition_penalty = 1.3;
  penalised.presence_penalty = 0.4;
  penalised.frequency_penalty = 0.3;
  penalised.logit_bias = {{5, 2.0f}};
  SamplingParams narrow = penalised;
  narrow.top_k = 5;
  SamplingParams nucleus = penalised;
  nucleus.top_p = 0.8;
  SamplingParams floor = penalised;
  floor.min_p = 0.3;
  SamplingParams all = penalised;
  all.temperature = 1.5;
  all.top_k = 6;
  all.top_p = 0.9;
  all.min_p = 0.05;
  const std::vector<uint32_t> mask = {0b11111110};
  Sampler sampler;
  SampleResult result;
  for (const SamplingParams& params : {penalised, narrow, nucleus, floor, all}) {
    for (const TokenMask allowed : {TokenMask{}, TokenMask(mask)}) {
      std::array<double, kVocab> probability{};
      ASSERT_TRUE(sampler.distribution(kLogits, params, &counts, allowed, probability));
      std::array<int64_t, kVocab> observed{};
      for (int64_t i = 0; i < kDraws; ++i) {
        sampler.sample(kLogits, params, &counts, i, allowed, result);
        ++observed[static_cast<size_t>(result.token)];
      }
      EXPECT_LT(chi_square(observed, probability), chi_square_limit(degrees(probability)))
          << "k " << params.top_k << " p " << params.top_p << " min " << params.min_p;
      // The test can fail: the same draws do not follow the row without penalties.
      std::array<double, kVocab> other{};
      SamplingParams unpenalised = params;
      unpenalised.presence_penalty = 0.0;
      ASSERT_TRUE(sampler.distribution(kLogits, unpenalised, &counts, allowed, other));
      EXPECT_GT(chi_square(observed, other), chi_square_limit(degrees(other)));
    }
  }
}

// A row longer than the ranking's block, the tokens of interest spread over it: binned to the 8 of kLogits.
TEST(SamplerDistribution, IsTheSoftmaxOfALongRow) {
  constexpr size_t kLong = 1200;
  std::vector<float> logits(kLong, -3.0f);
  for (size_t v = 0; v < kVocab; ++v) logits[v * 149 + 3] = kLogits[v] + 3.0f;
  std::array<double, kVocab + 1> probability{};
  double total = 0;
  for (size_t v = 0; v < kLong; ++v) total += std::exp(static_cast<double>(logits[v]));
  for (size_t v = 0; v < kVocab; ++v)
    probability[v] = std::exp(static_cast<double>(kLogits[v]) + 3.0) / total;
  probability[kVocab] = static_cast<double>(kLong - kVocab) * std::exp(-3.0) / total;
  std::array<int64_t, kVocab + 1> observed{};
  Sampler sampler;
  SampleResult result;
  for (int64_t i = 0; i < 100000; ++i) {
    sampler.sample(logits, SamplingParams{}, nullptr, i, {}, result);
    const size_t v = static_cast<size_t>(result.token);
    ++observed[v % 149 == 3 && v / 149 < kVocab ? v / 149 : kVocab];
  }
  EXPECT_LT(chi_square(observed, probability), chi_square_limit(kVocab));
}

TEST(SamplerDistribution, NeighbouringPositionsAreIndependent) {
  const std::array<double, kVocab> probability = expected_probability({});
  std::array<double, kVocab * kVocab> joint{};
  for (size_t a = 0; a < kVocab; ++a) {
    for (size_t b = 0; b < kVocab; ++b) joint[a * kVocab + b] = probability[a] * probability[b];
  }
  std::array<int64_t, kVocab * kVocab> observed{};
  Sampler sampler;
  SampleResult first, second;
  for (int64_t i = 0; i < kDraws; ++i) {
    sampler.sample(kLogits, SamplingParams{}, nullptr, 2 * i, {}, first);
    sampler.sample(kLogits, SamplingParams{}, nullptr, 2 * i + 1, {}, second);
    ++observed[static_cast<size_t>(first.token) * kVocab + static_cast<size_t>(second.token)];
  }
  EXPECT_LT(chi_square(observed, joint), chi_square_limit(kVocab * kVocab - 1));
}

// dspark.md 2.4: P(first child = target) = sum_v 1 / sum_u max(p_u / p_v, q_u / q_v). Alpha 1e-6; n = 200000
// finds an error of 0.007 with probability 0.97.
TEST(SamplerDistribution, CouplingAcceptsAsOftenAsItsFormula) {
  const std::vector<float> draft = {0.2f, 0.5f, 1.5f, 0.4f, -0.3f, -1.0f, 2.2f, 0.6f};
  double total_p = 0, total_q = 0, total_variation = 0, expected = 0;
  std::array<double, kVocab> p{}, q{};
  for (size_t v = 0; v < kVocab; ++v) {
    p[v] = std::exp(static_cast<double>(kLogits[v]));
    q[v] = std::exp(static_cast<double>(draft[v]));
    total_p += p[v];
    total_q += q[v];
  }
  for (size_t v = 0; v < kVocab; ++v) {
    p[v] /= total_p;
    q[v] /= total_q;
  }
  for (size_t v = 0; v < kVocab; ++v) {
    double sum = 0;
    for (size_t u = 0; u < kVocab; ++u) sum += std::max(p[u] / p[v], q[u] / q[v]);
    expected += 1 / sum;
    total_variation += std::abs(p[v] - q[v]) / 2;
  }
  Sampler sampler;
  SampleResult result;
  KeyedRanking draft_ranking;
  int64_t first = 0, either = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    sampler.sample(kLogits, SamplingParams{}, nullptr, i, {}, result);
    const SamplingParams params;
    const auto children = draft_ranking.rank(draft, params.temperature, {params.seed, i}, 2);
    if (children[0].token == result.token) ++first;
    if (children[0].token == result.token || children[1].token == result.token) ++either;
  }
  const double n = static_cast<double>(kDraws);
  EXPECT_NEAR(static_cast<double>(first) / n, expected, share_limit(expected, n));
  EXPECT_GE(expected, (1 - total_variation) / (1 + total_variation));
  // Two children of one perturbed order beat even the best coupling of one child.
  EXPECT_GT(static_cast<double>(either) / n, 1 - total_variation);
}

}  // namespace
}  // namespace ft::verify
