// What top-k, top-p and min-p leave, by table and against sorting everything.
#include "verify/candidate_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/verify/reference_sampler.h"

namespace ft::verify {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<int32_t> sorted(std::span<const int32_t> tokens) {
  std::vector<int32_t> result(tokens.begin(), tokens.end());
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<float> logs(std::vector<double> probabilities) {
  std::vector<float> result;
  for (const double p : probabilities) result.push_back(static_cast<float>(std::log(p)));
  return result;
}

TEST(CandidateSet, FindsTheSetsOfTheTable) {
  const std::vector<float> row = logs({0.1, 0.4, 0.05, 0.3, 0.15});
  const std::vector<float> ties = {1, 2, 2, 2, 0};
  using Tokens = std::vector<int32_t>;
  const struct {
    const char* name;
    std::vector<float> logits;
    double temperature;
    int64_t top_k;
    double top_p;
    double min_p;
    Tokens expected;
  } cases[] = {
      {"all off", row, 1, 0, 1, 0, {0, 1, 2, 3, 4}},
      {"top-k", row, 1, 2, 1, 0, {1, 3}},
      {"top-k of one", row, 1, 1, 1, 0, {1}},
      {"top-k beyond the vocabulary", row, 1, 9, 1, 0, {0, 1, 2, 3, 4}},
      {"top-k ties: exactly k, lowest ids", ties, 1, 2, 1, 0, {1, 2}},
      {"top-k skips the unusable", {kNan, -kInfinity, 1, 0}, 1, 3, 1, 0, {2, 3}},
      {"top-p keeps the token that passes the mark", row, 1, 0, 0.69, 0, {1, 3}},
      {"top-p just past the mark", row, 1, 0, 0.71, 0, {1, 3, 4}},
      {"top-p tiny: at least one", row, 1, 0, 1e-12, 0, {1}},
      {"top-p below the largest", row, 1, 0, 0.39, 0, {1}},
      {"top-p almost one", row, 1, 0, 0.999, 0, {0, 1, 2, 3, 4}},
      {"top-p ties: lowest ids", {0, 0, 0, 0}, 1, 0, 0.5, 0, {0, 1}},
      {"top-p at a low temperature", row, 0.1, 0, 0.9, 0, {1}},
      {"top-p at a high temperature", row, 100, 0, 0.9, 0, {0, 1, 2, 3, 4}},
      {"top-p of what top-k left: 0.4/0.7", row, 1, 2, 0.57, 0, {1}},
      {"top-p of what top-k left, past it", row, 1, 2, 0.58, 0, {1, 3}},
      {"top-p with +inf", {0, kInfinity, 5, kInfinity}, 1, 0, 0.9, 0, {1, 3}},
      {"top-p with NaN and -inf", {kNan, 1, -kInfinity, 1}, 1, 0, 0.99, 0, {1, 3}},
      {"top-p far tail", {0, -200, -300}, 1, 0, 0.5, 0, {0}},
      {"min-p", row, 1, 0, 1, 0.3, {1, 3, 4}},
      {"min-p of one keeps the largest", ties, 1, 0, 1, 1.0, {1, 2, 3}},
      {"min-p at T", row, 0.5, 0, 1, 0.3, {1, 3}},
      {"min-p after top-p", row, 1, 0, 0.9, 0.5, {1, 3}},
      {"min-p tiny", {0, -200}, 1, 0, 1, 1e-80, {0}},
      {"nothing usable", {kNan, -kInfinity}, 1, 1, 0.5, 0.5, {}},
  };
  CandidateSet candidates;
  for (const auto& c : cases) {
    EXPECT_EQ(sorted(candidates.select(c.logits, c.temperature, c.top_k, c.top_p, c.min_p)), c.expected)
        << c.name;
  }
}

TEST(CandidateSet, AgreesWithSortingEverything) {
  std::mt19937_64 rng(5);
  CandidateSet candidates;
  const auto pick = [&](auto... values) {
    const double list[] = {static_cast<double>(values)...};
    return list[rng() % sizeof...(values)];
  };
  for (int trial = 0; trial < 3000; ++trial) {
    const size_t vocab = 1 + rng() % 700;
    const float spread = static_cast<float>(pick(0.01, 1, 4, 20));
    const bool rounded = rng() % 2 == 0;  // many ties
    std::vector<float> logits(vocab);
    for (float& logit : logits) {
      logit = std::normal_distribution<float>(0, spread)(rng);
      if (rounded) logit = std::round(logit);
    }
    ReferenceSampler reference;
    reference.params.temperature = pick(1e-5, 0.2, 1, 3, 100);
    reference.params.top_k = static_cast<int64_t>(pick(0, 0, 1, 5, 50, 699));
    reference.params.top_p = pick(1, 1, 0.1, 0.5, 0.95, 0.999999);
    reference.params.min_p = pick(0, 0, 0.02, 0.37, 1);
    std::vector<int32_t> expected;
    for (const auto& [token, probability] : reference.distribution(logits)) expected.push_back(token);
    const SamplingParams& p = reference.params;
    ASSERT_EQ(sorted(candidates.select(logits, p.temperature, p.top_k, p.top_p, p.min_p)), sorted(expected))
        << "trial " << trial << " T " << p.temperature << " k " << p.top_k << " p " << p.top_p << " min "
        << p.min_p;
  }
}

}  // namespace
}  // namespace ft::verify
