#include "core/keyed_ranking.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/lanes.h"
#include "core/log_sum_exp.h"
#include "core/noise_words.h"

namespace ft {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr double kNoScore = -std::numeric_limits<double>::infinity();

// Tokens examined together: small enough for the first-level cache, large enough to hide the loop's ends.
constexpr size_t kBlock = 512;
double exact_score(float logit, double temperature, NoiseKey key, int32_t token) {
  return static_cast<double>(std::min(logit, kLargest)) / temperature + gumbel(key, token);
}

// An upper bound of the noise from the high word of its uniform u, at most 0.07 too high where it matters.
// With w = 1 - u: -log u >= w, so g <= -log w. And log2 w >= (its float's bits as a fixed-point number),
// because log2(1 + m) >= m on [0, 1]. The word is halved to fit a signed conversion.
[[gnu::always_inline]] inline Float4 gumbel_bound(Int4 high_words) {
  const Int4 half = (~high_words >> 1) & 0x7fffffff;  // <= w * 2^31
  const Int4 bits = std::bit_cast<Int4>(__builtin_convertvector(half, Float4));
  constexpr float kLog2 = 0.693148f;  // rounded up
  return kLog2 *
         (158.0f - __builtin_convertvector(bits, Float4) * 0x1p-23f);  // 158 = 31 + the exponent's bias
}

}  // namespace

void KeyedRanking::offer(int32_t token, double score, int64_t count) {
  const RankedToken entry{token, score};
  const auto better = [](const RankedToken& a, const RankedToken& b) {
    return a.score != b.score ? a.score > b.score : a.token < b.token;
  };
  if (std::ssize(best_) == count) {
    if (!better(entry, best_.back())) return;
    best_.pop_back();
  }
  best_.insert(std::upper_bound(best_.begin(), best_.end(), entry, better), entry);
}

std::span<const RankedToken> KeyedRanking::rank(std::span<const float> logits, double temperature,
                                                NoiseKey key, int64_t count) {
  FT_CHECK(count >= 1, count);
  best_.clear();
  best_.reserve(static_cast<size_t>(std::min<int64_t>(count, std::ssize(logits))));
  const float largest = largest_logit(logits);
  if (largest == -kInfinity) return best_;
  if (temperature < kGreedyTemperature) {
    rank_greedily(logits, largest, count);
  } else {
    rank_with_noise(logits, largest, temperature, key, count);
  }
  return best_;
}

void KeyedRanking::rank_greedily(std::span<const float> logits, float largest, int64_t count) {
  // Ascending ids: a later equal score never displaces an earlier one, so `>` is enough.
  float worst = count == 1 ? std::nextafter(largest, -kInfinity) : -kInfinity;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = std::min(logits[i], kLargest);
    if (!(logits[i] > worst)) continue;
    offer(static_cast<int32_t>(i), static_cast<double>(logit), count);
    if (std::ssize(best_) == count) {
      worst = static_cast<float>(best_.back().score);
      if (worst == largest) return;
    }
  }
}

void KeyedRanking::rank_with_noise(std::span<const float> logits, float largest, double temperature,
                                   NoiseKey key, int64_t count) {
  const float scale = static_cast<float>(1.0 / temperature);
  const double offset = static_cast<double>(largest) / temperature;

  // Beginning with the largest logit makes the bound tight from the first block on.
  size_t first = 0;
  if (count == 1) {
    while (!(std::min(logits[first], kLargest) == largest)) ++first;
    offer(static_cast<int32_t>(first), exact_score(largest, temperature, key, static_cast<int32_t>(first)),
          count);
  }

  // A token can only be offered with success if (logit - largest) * scale + bound >= threshold(),
  // all in float. The margin covers every rounding:
  // 2e-7 of the distance for the float terms, the last bits of offset, the bound's.
  const auto threshold = [&] {
    if (std::ssize(best_) < count) return -kInfinity;
    const double distance = best_.back().score - offset;
    const double margin = 1e-3 + 1e-6 * std::abs(distance) + 1e-15 * std::abs(offset);
    return distance - margin < -static_cast<double>(kLargest) ? -kInfinity
                                                              : static_cast<float>(distance - margin);
  };

  const NoiseLanes lanes = widest_noise_lanes();
  std::array<float, kBlock> padded;
  std::array<float, kBlock> upper;
  std::array<uint32_t, kBlock> words;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, logits.size() - begin);
    const size_t padded_size = (size + 15) / 16 * 16;  // the step of fill_noise_words
    const float* x = logits.data() + begin;
    if (size < padded_size) {
      padded.fill(-kInfinity);
      std::copy_n(x, size, padded.begin());
      x = padded.data();
    }

    float limit = threshold();
    Int4 reachable{};
    for (size_t i = 0; i < padded_size; i += 4) {
      const Float4 logit = load4(x + i);
      const Float4 finite = logit > kLargest ? Float4{} + kLargest : logit;
      const Float4 scaled = (finite - largest) * scale;
      store4(scaled, upper.data() + i);
      reachable |= scaled >= limit - static_cast<float>(kGumbelMax);
    }
    if (!any(reachable)) continue;

    fill_noise_words(key, static_cast<uint32_t>(begin), std::span(words).first(padded_size), lanes);
    reachable = Int4{};
    for (size_t i = 0; i < padded_size; i += 4) {
      const Float4 bound = load4(upper.data() + i) + gumbel_bound(load4(words.data() + i));
      store4(bound, upper.data() + i);
      reachable |= bound >= limit;
    }
    if (!any(reachable)) continue;

    for (size_t i = 0; i < size; ++i) {
      if (!(upper[i] >= limit) || !(x[i] > -kInfinity)) continue;
      const size_t token = begin + i;
      if (count == 1 && token == first) continue;
      offer(static_cast<int32_t>(token), exact_score(x[i], temperature, key, static_cast<int32_t>(token)),
            count);
      limit = threshold();
    }
  }
}

std::span<const RankedToken> KeyedRanking::rank(std::span<const float> logits,
                                                std::span<const int32_t> candidates, double temperature,
                                                NoiseKey key, int64_t count) {
  FT_CHECK(count >= 1, count);
  best_.clear();
  best_.reserve(static_cast<size_t>(std::min<int64_t>(count, std::ssize(candidates))));
  const bool greedy = temperature < kGreedyTemperature;
  for (const int32_t token : candidates) {
    const float logit = logits[static_cast<size_t>(token)];
    if (!(logit > -kInfinity)) continue;
    const double x = static_cast<double>(std::min(logit, kLargest));
    if (greedy) {
      offer(token, x, count);
      continue;
    }
    const double worst = std::ssize(best_) == count ? best_.back().score : kNoScore;
    if (x / temperature + kGumbelMax < worst) continue;
    offer(token, exact_score(logit, temperature, key, token), count);
  }
  return best_;
}

}  // namespace ft
