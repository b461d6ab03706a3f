#include "draft/child_ranking.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace ft::draft {

namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// The best tokens so far, best first.
class Podium {
 public:
  explicit Podium(std::span<RankedChild> best) : best_(best) {}

  // A score must exceed this to enter; equal ones lose, because tokens come in ascending order.
  double bar() const { return count_ == best_.size() ? scores_[count_ - 1] : kMinusInfinity; }
  size_t count() const { return count_; }

  void enter(double score, size_t token) {
    if (!(score > bar())) return;
    size_t place = count_ < best_.size() ? count_++ : count_ - 1;
    for (; place > 0 && score > scores_[place - 1]; --place) {
      scores_[place] = scores_[place - 1];
      best_[place] = best_[place - 1];
    }
    scores_[place] = score;
    best_[place].token = static_cast<int32_t>(token);
  }

 private:
  std::span<RankedChild> best_;
  std::array<double, kRankedMax> scores_{};
  size_t count_ = 0;
};

// noise_limits()[k] * 2^-32 bounds exp(-k) from above.
const std::array<uint64_t, 38>& noise_limits() {
  static const std::array<uint64_t, 38> limits = [] {
    std::array<uint64_t, 38> values{};
    for (size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<uint64_t>(std::ceil(std::exp(-static_cast<double>(k)) * 0x1p32)) + 1;
    return values;
  }();
  return limits;
}

// Can noise with these high 32 bits of its uniform number u lift a score over a gap of `gap`? -log(-log u) >
// gap needs 1 - u <= -log u < exp(-gap), and 1 - u is at least ~high * 2^-32. Never false where it can;
// spares the two logarithms of nearly every token of a large vocabulary.
bool may_bridge(double gap, uint32_t high) {
  if (gap <= 0.0) return true;
  if (gap > kGumbelMax) return false;
  const auto whole = static_cast<size_t>(std::max(gap - 1e-6, 0.0));
  return ~high < noise_limits()[whole];
}

void rank_with_noise(std::span<const float> logits, const Ranking& ranking, Podium& podium) {
  const double temperature = ranking.temperature;
  for (size_t v = 0; v < logits.size(); v += 2) {
    const size_t pair = std::min<size_t>(logits.size() - v, 2);
    const double first = logits[v] / temperature;
    const double second = pair == 2 ? logits[v + 1] / temperature : kMinusInfinity;
    // Not below for a NaN, so that the other of the pair still counts; a NaN itself never enters.
    if (first + kGumbelMax < podium.bar() && second + kGumbelMax < podium.bar()) continue;
    const Philox::Counter words = noise_block(ranking.noise, static_cast<uint32_t>(v / 2));
    for (size_t i = 0; i < pair; ++i) {
      const double scaled = i == 0 ? first : second;
      const uint32_t high = words[2 * i];
      if (!(scaled > kMinusInfinity) || !may_bridge(podium.bar() - scaled, high)) continue;
      podium.enter(scaled + gumbel_from_uniform(open_uniform(high, words[2 * i + 1])), v + i);
    }
  }
}

// exp(x) for x <= 0 to 3e-6, made of operations that the compiler can do several of at once: 2^n from the
// exponent bits, 2^f for f in (-1, 0] as 2^-0.5 times a Taylor polynomial around -0.5.
inline float exp_of_negative(float x) {
  x = x > -80.0f ? x : -80.0f;
  const float scaled = x * 1.44269504f;
  const int32_t whole = static_cast<int32_t>(scaled);
  const float y = (scaled - static_cast<float>(whole) + 0.5f) * 0.69314718f;
  const float polynomial =
      1.0f + y * (1.0f + y * (0.5f + y * (1.0f / 6 + y * (1.0f / 24 + y * (1.0f / 120)))));
  const float power = std::bit_cast<float>((whole + 127) << 23);
  return power * polynomial * 0.70710678f;
}

// Sum of exp((logits - largest) * inverse_temperature), in kLanes running sums.
float sum_of_exponentials(std::span<const float> logits, float largest, float inverse_temperature) {
  constexpr size_t kLanes = 8;
  std::array<float, kLanes> sums{};
  size_t v = 0;
  for (; v + kLanes <= logits.size(); v += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += exp_of_negative((logits[v + lane] - largest) * inverse_temperature);
  for (; v < logits.size(); ++v) sums[0] += exp_of_negative((logits[v] - largest) * inverse_temperature);
  float sum = 0.0f;
  for (float part : sums) sum += part;
  return sum;
}

}  // namespace

size_t rank_children(std::span<const float> logits, const Ranking& ranking, std::span<RankedChild> best) {
  best = best.first(std::min({best.size(), logits.size(), kRankedMax}));
  if (best.empty()) return 0;
  Podium podium(best);
  if (ranking.temperature == 0.0) {
    for (size_t v = 0; v < logits.size(); ++v) podium.enter(logits[v], v);
  } else {
    rank_with_noise(logits, ranking, podium);
  }
  float largest = -std::numeric_limits<float>::infinity();
  for (float logit : logits) largest = logit > largest ? logit : largest;
  const auto inverse = static_cast<float>(ranking.temperature == 0.0 ? 1.0 : 1.0 / ranking.temperature);
  const float sum = sum_of_exponentials(logits, largest, inverse);
  for (RankedChild& child : best.first(podium.count()))
    child.probability = exp_of_negative((logits[static_cast<size_t>(child.token)] - largest) * inverse) / sum;
  return podium.count();
}

}  // namespace ft::draft
