// The sampler: each parameter by table, all of them against the definition, logprobs, broken rows.
#include "verify/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/verify/reference_sampler.h"
#include "tests/verify/scripted_constraint.h"

namespace ft::verify {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int32_t sample(Sampler& sampler, const std::vector<float>& logits, const SamplingParams& params,
               const TokenCounts* counts = nullptr, TokenMask mask = {}, int64_t position = 9) {
  SampleResult result;
  sampler.sample(logits, params, counts, position, mask, result);
  EXPECT_FALSE(result.degenerate);
  return result.token;
}

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOnATie) {
  Sampler sampler;
  EXPECT_EQ(sample(sampler, {1, 3, 2}, greedy()), 1);
  EXPECT_EQ(sample(sampler, {1, 3, 2, 3}, greedy()), 1);
  EXPECT_EQ(sample(sampler, {-0.0f, 0.0f}, greedy()), 0);
  SamplingParams almost = greedy();
  almost.temperature = 9.9e-6;
  for (int64_t position = 0; position < 200; ++position) {
    EXPECT_EQ(sample(sampler, {1.0f, 1.0f}, almost, nullptr, {}, position), 0) << "noise at T < 1e-5";
  }
}

TEST(Sampler, GreedyIgnoresWhatOnlyNarrowsASample) {
  Sampler sampler;
  SamplingParams params = greedy();
  params.top_k = 1;
  params.top_p = 0.1;
  params.min_p = 1;
  EXPECT_EQ(sample(sampler, {1, 3, 2}, params), 1);
}

TEST(Sampler, PenaltiesCountWhatTheySayTheyCount) {
  Sampler sampler;
  TokenCounts counts;
  counts.add_prompt(std::vector<int32_t>{0});
  counts.push(1);
  counts.push(1);
  const std::vector<float> logits = {4.0f, 4.0f, 3.0f, -1.0f};
  const struct {
    const char* name;
    double repetition, presence, frequency;
    std::vector<float> row;
    int32_t expected;
  } cases[] = {
      {"off: tie, lowest id", 1, 0, 0, {4, 4, 3}, 0},
      {"repetition: prompt and output", 2, 0, 0, {4, 4, 3}, 2},
      {"repetition divides the positive", 1.25, 0, 0, {4, 4, 3}, 0},
      {"repetition multiplies the negative", 2, 0, 0, {-1, -1, -1.5f}, 2},
      {"repetition below one favours", 0.5, 0, 0, {2, 1, 3}, 0},
      {"presence: output only, once", 1, 0.5, 0, {3.9f, 4, 3}, 0},
      {"presence: not by count", 1, 0.5, 0, {3.4f, 4, 3}, 1},
      {"frequency: by count", 1, 0, 0.5, {3.4f, 4, 3}, 0},
      {"frequency: not the prompt", 1, 0, 2, {0.5f, 4, 0.4f}, 0},
      {"negative presence favours", 1, -2, 0, {4, 3, 4}, 1},
      {"repetition before frequency: 4/2 - 2*.6 = 0.8", 2, 0, 0.6, {-9, 4, 0.9f}, 2},
      {"repetition before frequency, not 2*(4 - 1.2)/2", 2, 0, 0.6, {-9, 4, 0.7f}, 1},
  };
  for (const auto& c : cases) {
    SamplingParams params = greedy();
    params.repetition_penalty = c.repetition;
    params.presence_penalty = c.presence;
    params.frequency_penalty = c.frequency;
    EXPECT_EQ(sample(sampler, c.row, params, &counts), c.expected) << c.name;
  }
}

TEST(Sampler, PoppedTokensAreNotPenalised) {
  Sampler sampler;
  SamplingParams params = greedy();
  params.presence_penalty = 2;
  TokenCounts counts;
  counts.push(1);
  EXPECT_EQ(sample(sampler, {0, 1}, params, &counts), 0);
  counts.pop(1);
  EXPECT_EQ(sample(sampler, {0, 1}, params, &counts), 1);
}

TEST(Sampler, BiasComesBeforePenaltiesAndMaskAfter) {
  Sampler sampler;
  SamplingParams params = greedy();
  params.repetition_penalty = 2;
  params.logit_bias = {{0, 5.0f}};
  TokenCounts counts;
  counts.push(0);
  // (1 + 5) / 2 = 3, where bias after the penalty would give 5.5.
  EXPECT_EQ(sample(sampler, {1, 4}, params, &counts), 1);
  EXPECT_EQ(sample(sampler, {1, 2}, params, &counts), 0);
  const std::vector<uint32_t> only_one = {0b10};
  EXPECT_EQ(sample(sampler, {1, -50}, params, &counts, only_one), 1);
  params.logit_bias = {{0, 100.0f}};
  EXPECT_EQ(sample(sampler, {1, -50}, params, &counts, only_one), 1);
}

TEST(Sampler, MaskWordsMayReachBeyondTheVocabulary) {
  Sampler sampler;
  std::vector<float> logits(70);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i);
  EXPECT_EQ(sample(sampler, logits, greedy(), nullptr, std::vector<uint32_t>{~0u, ~0u, ~0u, ~0u}), 69);
  EXPECT_EQ(sample(sampler, logits, greedy(), nullptr, std::vector<uint32_t>{~0u, ~0u, 0}), 63);
  EXPECT_EQ(sample(sampler, logits, greedy(), nullptr, std::vector<uint32_t>{0, 1, 0}), 32);
}

TEST(Sampler, BrokenRowsGiveAValidTokenAndSaySo) {
  Sampler sampler;
  SamplingParams narrow;
  narrow.top_k = 5;
  narrow.top_p = 0.5;
  narrow.min_p = 0.1;
  for (SamplingParams params : {greedy(), SamplingParams{}, narrow}) {
    params.logprobs = 3;
    for (const float value : {kNan, -kInfinity}) {
      SampleResult result;
      const std::vector<float> logits(50, value);
      sampler.sample(logits, params, nullptr, 1, {}, result);
      EXPECT_TRUE(result.degenerate);
      EXPECT_EQ(result.token, 0);
      EXPECT_TRUE(result.top_logprobs.empty());
      sampler.sample(logits, params, nullptr, 1, std::vector<uint32_t>{0, 0b100}, result);
      EXPECT_TRUE(result.degenerate);
      EXPECT_EQ(result.token, 34);
    }
    SampleResult result;
    sampler.sample(std::vector<float>(50, 1.0f), params, nullptr, 1, std::vector<uint32_t>{0, 0}, result);
    EXPECT_TRUE(result.degenerate);
    EXPECT_EQ(result.token, 0);

    // A few bad logits do not spoil the others.
    EXPECT_EQ(sample(sampler, {kNan, -kInfinity, 0.5f, kNan}, params), 2);
    EXPECT_EQ(sample(sampler, {0.5f, kInfinity, kNan, -kInfinity}, params), 1);
  }
}

std::vector<float> random_row(std::mt19937_64& rng, size_t vocab, float spread) {
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = std::normal_distribution<float>(0, spread)(rng);
  return logits;
}

// Every parameter at once, against sorting and adding noise by definition.
TEST(Sampler, AgreesWithTheDefinition) {
  std::mt19937_64 rng(21);
  Sampler sampler;
  SampleResult result;
  const auto chance = [&](uint64_t one_in) { return rng() % one_in == 0; };
  for (int trial = 0; trial < 3000; ++trial) {
    const size_t vocab = 2 + rng() % 600;
    const auto token = [&] { return static_cast<int32_t>(rng() % vocab); };
    ReferenceSampler reference;
    SamplingParams& params = reference.params;
    params.seed = rng();
    const double temperatures[] = {0, 0.1, 0.7, 1, 2};
    params.temperature = temperatures[rng() % 5];
    if (chance(3)) params.top_k = 1 + static_cast<int64_t>(rng() % 20);
    if (chance(3)) params.top_p = 0.05 + 0.09 * static_cast<double>(rng() % 10);
    if (chance(3)) params.min_p = 0.1 * static_cast<double>(rng() % 10);
    if (chance(2)) params.repetition_penalty = 0.5 + 0.25 * static_cast<double>(rng() % 8);
    if (chance(2)) params.presence_penalty = -2 + 0.5 * static_cast<double>(rng() % 9);
    if (chance(2)) params.frequency_penalty = -2 + 0.5 * static_cast<double>(rng() % 9);
    for (int32_t id = token(); id < static_cast<int32_t>(vocab) && chance(2); ++id) {
      params.logit_bias.emplace_back(id, std::normal_distribution<float>(0, 3)(rng));
    }
    TokenCounts counts;
    for (int i = 0; i < 20; ++i) reference.prompt.push_back(token());
    for (int i = 0; i < 30; ++i) reference.output.push_back(token() % 7 % static_cast<int32_t>(vocab));
    counts.add_prompt(reference.prompt);
    for (const int32_t id : reference.output) counts.push(id);
    std::vector<uint32_t> mask;
    if (chance(3)) {
      mask.resize((vocab + 31) / 32);
      reference.allowed.resize(vocab);
      for (size_t v = 0; v < vocab; ++v) {
        reference.allowed[v] = v == 1 || chance(4);
        if (reference.allowed[v]) mask[v / 32] |= 1u << (v % 32);
      }
    }
    const std::vector<float> logits = random_row(rng, vocab, 3);
    const int64_t position = static_cast<int64_t>(rng() % 5000);
    sampler.sample(logits, params, &counts, position, mask, result);
    ASSERT_EQ(result.token, reference.sample(logits, position)) << "trial " << trial;
    ASSERT_FALSE(result.degenerate);
  }
}

TEST(Sampler, IsAPureFunctionOfItsArguments) {
  std::mt19937_64 rng(22);
  SamplingParams params;
  params.seed = 5;
  params.top_p = 0.9;
  const std::vector<float> logits = random_row(rng, 2000, 2);
  Sampler fresh;
  const int32_t expected = sample(fresh, logits, params);
  Sampler used;
  for (int i = 0; i < 50; ++i) {
    SamplingParams other;
    other.seed = rng();
    other.top_k = static_cast<int64_t>(rng() % 50);
    SampleResult result;
    used.sample(random_row(rng, 1 + rng() % 3000, 2), other, nullptr, i, {}, result);
    ASSERT_EQ(sample(used, logits, params), expected);
  }
  // The row's place in memory does not matter either.
  std::vector<float> shifted(logits.size() + 1);
  std::copy(logits.begin(), logits.end(), shifted.begin() + 1);
  SampleResult result;
  used.sample(std::span<const float>(shifted).subspan(1), params, nullptr, 9, {}, result);
  EXPECT_EQ(result.token, expected);
}

TEST(Sampler, LogprobsAreOfTheRawLogits) {
  const std::vector<float> logits = {0.0f, 2.0f, 1.0f, 2.0f, kNan};
  const double normaliser = std::log(1 + 2 * std::exp(2.0) + std::exp(1.0));
  SamplingParams params = greedy();
  params.logit_bias = {{0, 50.0f}};  // chooses 0, and must not show in its logprob
  params.logprobs = 3;
  Sampler sampler;
  SampleResult result;
  sampler.sample(logits, params, nullptr, 0, {}, result);
  EXPECT_EQ(result.token, 0);
  EXPECT_NEAR(result.logprob, -normaliser, 1e-5);
  ASSERT_EQ(result.top_logprobs.size(), 3u);
  EXPECT_EQ(result.top_logprobs[0].token, 1);
  EXPECT_EQ(result.top_logprobs[1].token, 3);
  EXPECT_EQ(result.top_logprobs[2].token, 2);
  EXPECT_NEAR(result.top_logprobs[0].logprob, 2 - normaliser, 1e-5);
  EXPECT_NEAR(result.top_logprobs[2].logprob, 1 - normaliser, 1e-5);

  params.logprobs = 0;
  sampler.sample(logits, params, nullptr, 0, {}, result);
  EXPECT_NEAR(result.logprob, -normaliser, 1e-5);
  EXPECT_TRUE(result.top_logprobs.empty());

  params.logprobs = 20;  // more than there are usable tokens
  params.temperature = 5;
  sampler.sample(logits, params, nullptr, 0, {}, result);
  EXPECT_EQ(result.top_logprobs.size(), 4u);
  EXPECT_NEAR(result.top_logprobs[0].logprob, 2 - normaliser, 1e-5) << "temperature must not show";
}

TEST(ScriptedConstraint, IsAValueThatTokensDoNotChange) {
  // Tokens must alternate in parity.
  ScriptedConstraint constraint(40, [](const std::vector<int32_t>& history, int32_t token) {
    return history.empty() || (history.back() + token) % 2 == 1;
  });
  std::vector<uint32_t> mask(2, 0xdeadbeef);
  constraint.fill_mask(mask);
  EXPECT_EQ(mask[0], ~0u);
  EXPECT_EQ(mask[1], 0xffu);
  EXPECT_TRUE(constraint.advance(3));
  EXPECT_FALSE(constraint.advance(5));
  constraint.fill_mask(mask);
  EXPECT_EQ(mask[0], 0x55555555u);
  const Constraint before = constraint;
  EXPECT_TRUE(constraint.advance(4));
  EXPECT_TRUE(before.after(6).has_value());
  EXPECT_FALSE(before.after(5).has_value());
  EXPECT_EQ(constraint.history(), (std::vector<int32_t>{3, 4}));
  EXPECT_TRUE(constraint.advance(5));
  Sampler sampler;
  constraint.fill_mask(mask);
  std::vector<float> logits(40, 0.0f);
  logits[31] = 9.0f;
  EXPECT_EQ(sample(sampler, logits, greedy(), nullptr, mask), 0) << "31 is odd, like the token before";
}

TEST(SamplerDistributionRow, IsTheDefinitionsForAllParameters) {
  std::mt19937_64 rng(21);
  Sampler sampler;
  const auto pick = [&](auto... values) {
    const double list[] = {static_cast<double>(values)...};
    return list[rng() % sizeof...(values)];
  };
  for (int trial = 0; trial < 2000; ++trial) {
    const size_t vocab = 1 + rng() % 300;
    std::vector<float> logits(vocab);
    for (float& logit : logits) logit = std::normal_distribution<float>(0, 3)(rng);
    logits[rng() % vocab] = 2.0f;
    if (vocab > 3) logits[rng() % 3] = rng() % 2 == 0 ? kNan : -kInfinity;
    ReferenceSampler reference;
    SamplingParams& params = reference.params;
    params.temperature = pick(1e-5, 0.3, 1, 1, 5);
    params.top_k = static_cast<int64_t>(pick(0, 0, 1, 7, 400));
    params.top_p = pick(1, 1, 0.2, 0.9);
    params.min_p = pick(0, 0, 0.05);
    params.repetition_penalty = pick(1, 1.4);
    params.presence_penalty = pick(0, 0.6);
    params.frequency_penalty = pick(0, 0.3, -0.3);
    if (rng() % 2 == 0) params.logit_bias = {{static_cast<int32_t>(rng() % vocab), 2.0f}};
    TokenCounts counts;
    for (int i = 0; i < 10; ++i) {
      const int32_t token = static_cast<int32_t>(rng() % vocab);
      if (i < 4) {
        reference.prompt.push_back(token);
        counts.add_prompt({&token, 1});
      } else {
        reference.output.push_back(token);
        counts.push(token);
      }
    }
    std::vector<uint32_t> mask;
    if (rng() % 2 == 0) {
      mask.assign((vocab + 31) / 32, 0);
      for (size_t v = 0; v < vocab; ++v) {
        reference.allowed.push_back(rng() % 3 != 0);
        if (reference.allowed[v]) mask[v / 32] |= 1u << (v % 32);
      }
    }
    std::vector<double> expected(vocab, 0.0);
    const auto reference_row = reference.distribution(logits);
    for (const auto& [token, p] : reference_row) expected[static_cast<size_t>(token)] = p;
    std::vector<double> actual(vocab, 7.0);
    ASSERT_EQ(sampler.distribution(logits, params, &counts, mask, actual), !reference_row.empty());
    for (size_t v = 0; v < vocab; ++v) {
      ASSERT_NEAR(actual[v], expected[v], 1e-12) << "trial " << trial << " token " << v;
      ASSERT_EQ(actual[v] > 0, expected[v] > 0) << "trial " << trial << " token " << v;
    }
    // Whatever sample() takes has a probability.
    SampleResult result;
    sampler.sample(logits, params, &counts, trial, mask, result);
    ASSERT_EQ(result.degenerate, reference_row.empty());
    if (!result.degenerate) {
      ASSERT_GT(actual[static_cast<size_t>(result.token)], 0.0);
    }
  }
}

TEST(SamplerDistributionRow, GreedyIsOneHotAndABrokenRowIsZero) {
  Sampler sampler;
  std::vector<double> row(3, 7.0);
  SamplingParams narrow_greedy = greedy();
  narrow_greedy.top_p = 0.5;
  EXPECT_TRUE(sampler.distribution(std::vector<float>{1, 3, 3}, narrow_greedy, nullptr, {}, row));
  EXPECT_EQ(row, (std::vector<double>{0, 1, 0}));
  EXPECT_TRUE(sampler.distribution(std::vector<float>{kInfinity, 3, kInfinity}, {}, nullptr, {}, row));
  EXPECT_EQ(row, (std::vector<double>{0.5, 0, 0.5}));
  const std::vector<uint32_t> none = {0};
  for (const SamplingParams& params : {SamplingParams{}, greedy(), narrow_greedy}) {
    row.assign(3, 7.0);
    EXPECT_FALSE(sampler.distribution(std::vector<float>{kNan, -kInfinity, kNan}, params, nullptr, {}, row));
    EXPECT_EQ(row, (std::vector<double>{0, 0, 0}));
    row.assign(3, 7.0);
    EXPECT_FALSE(sampler.distribution(std::vector<float>{1, 2, 3}, params, nullptr, none, row));
    EXPECT_EQ(row, (std::vector<double>{0, 0, 0}));
  }
}

}  // namespace
}  // namespace ft::verify
