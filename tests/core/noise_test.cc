// Noise: the published Philox vectors, the edges of the uniform, and its laws.
#include "core/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/noise_words.h"

namespace ft {
namespace {

// Known answers of the Random123 distribution, philox4x32-10: zeros, ones, digits of pi.
static_assert(Philox::block({0, 0, 0, 0}, {0, 0}) ==
              Philox::Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(Philox::block({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
              Philox::Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              Philox::Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST(Noise, CounterHoldsPairPositionAndStream) {
  const NoiseKey key{0x299f31d0a4093822, 0x13198a2e85a308d3};
  EXPECT_EQ(noise_block(key, 0x243f6a88, static_cast<NoiseStream>(0x03707344)),
            (Philox::Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  // Tokens 0 and 1 of seed 0, position 0 share the block of the zero vector.
  EXPECT_EQ(uniform({0, 0}, NoiseStream::kToken, 0), open_uniform(0x6627e8d5, 0xe169c58d));
  EXPECT_EQ(uniform({0, 0}, NoiseStream::kToken, 1), open_uniform(0xbc57ac4c, 0x9b00dbd8));
}

TEST(Noise, UniformIsOpenAtBothEnds) {
  EXPECT_EQ(open_uniform(0, 0), 0x1p-53);
  EXPECT_EQ(open_uniform(0, 0xfff), 0x1p-53);
  EXPECT_EQ(open_uniform(0, 0x1000), 3 * 0x1p-53);
  EXPECT_EQ(open_uniform(0xffffffff, 0xffffffff), 1.0 - 0x1p-53);
  EXPECT_LT(open_uniform(0xffffffff, 0xffffffff), 1.0);
  EXPECT_EQ(open_uniform(0x80000000, 0), 0.5 + 0x1p-53);
}

TEST(Noise, GumbelStaysWithinItsBounds) {
  const double largest = gumbel_from_uniform(open_uniform(0xffffffff, 0xffffffff));
  EXPECT_LE(largest, kGumbelMax);
  EXPECT_NEAR(largest, 53 * std::log(2.0), 1e-9);
  EXPECT_NEAR(gumbel_from_uniform(open_uniform(0, 0)), -std::log(53 * std::log(2.0)), 1e-12);
}

// Computed once from the definition in Python (integers for Philox, math.log for the rest): the numbers that
// every backend must reproduce.
TEST(Noise, GumbelKnownAnswers) {
  EXPECT_NEAR(gumbel({0, 0}, 0), 0.08482025135306255, 1e-14);
  EXPECT_NEAR(gumbel({0, 0}, 1), 1.181182895396333, 1e-14);
  EXPECT_NEAR(gumbel({42, 17}, 129279), 1.9710112833509266, 1e-14);
  EXPECT_NEAR(gumbel({0x123456789abcdef0, 1000000}, 4096), -0.4892246325122506, 1e-14);
}

// Kolmogorov-Smirnov at alpha = 1e-6 (2.69 / sqrt(n));
// with n = 1e5 a true distance of 0.015 is found (4 sd above it).
double ks_distance(std::vector<double> sample) {
  std::sort(sample.begin(), sample.end());
  const double n = static_cast<double>(sample.size());
  double distance = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double below = static_cast<double>(i) / n;
    distance = std::max({distance, sample[i] - below, below + 1 / n - sample[i]});
  }
  return distance;
}

TEST(Noise, UniformAlongEveryAxis) {
  constexpr int kSample = 100000;
  const double limit = 2.69 / std::sqrt(kSample);
  std::vector<double> tokens, positions, seeds, streams;
  for (int i = 0; i < kSample; ++i) {
    tokens.push_back(uniform({7, 3}, NoiseStream::kToken, static_cast<uint32_t>(i)));
    positions.push_back(uniform({7, i}, NoiseStream::kAcceptance));
    seeds.push_back(uniform({static_cast<uint64_t>(i), 3}, NoiseStream::kToken, 5));
    streams.push_back(uniform({7, 3}, static_cast<NoiseStream>(i)));
  }
  EXPECT_LT(ks_distance(tokens), limit);
  EXPECT_LT(ks_distance(positions), limit);
  EXPECT_LT(ks_distance(seeds), limit);
  EXPECT_LT(ks_distance(streams), limit);
}

TEST(NoiseWords, EveryWidthGivesTheDefinition) {
  for (const NoiseKey key :
       {NoiseKey{0, 0}, NoiseKey{0xfedcba9876543210, 1}, NoiseKey{~0ull, int64_t{1} << 40}}) {
    for (const uint32_t first : {0u, 512u, 129280u, 0xfffffff0u}) {
      std::vector<uint32_t> words(first == 0xfffffff0u ? 16 : 512);
      for (const NoiseLanes lanes : {NoiseLanes::kOne, NoiseLanes::kFour, NoiseLanes::kEight}) {
        if (lanes > widest_noise_lanes()) continue;
        std::fill(words.begin(), words.end(), 0);
        fill_noise_words(key, first, words, lanes);
        for (size_t i = 0; i < words.size(); ++i) {
          const Philox::Counter block = noise_block(key, (first + static_cast<uint32_t>(i)) / 2);
          ASSERT_EQ(words[i], block[i % 2 == 0 ? 0 : 2])
              << first << " " << i << " " << static_cast<int>(lanes);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ft
