#include "core/log_sum_exp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/exp.h"
#include "core/lanes.h"

namespace ft {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
[[gnu::always_inline]] inline Float4 term(Float4 logits, float largest, float scale) {
  const Float4 finite = logits > kLargest ? Float4{} + kLargest : logits;
  return exp_nonpositive((finite - largest) * scale);
}

}  // namespace

float largest_logit(std::span<const float> logits) {
  // Eight maxima, so that one does not wait for the other.
  // A comparison with NaN is false and leaves the maximum.
  Float4 a = Float4{} - kInfinity;
  Float4 b = a;
  size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) {
    const Float4 x = load4(logits.data() + i);
    const Float4 y = load4(logits.data() + i + 4);
    a = x > a ? x : a;
    b = y > b ? y : b;
  }
  a = b > a ? b : a;
  float largest = std::max({a[0], a[1], a[2], a[3]});
  for (; i < logits.size(); ++i) largest = logits[i] > largest ? logits[i] : largest;
  return std::min(largest, kLargest);
}

void softmax_terms(std::span<const float> logits, float largest, float scale, float* terms) {
  size_t i = 0;
  for (; i + 4 <= logits.size(); i += 4) store4(term(load4(logits.data() + i), largest, scale), terms + i);
  if (i == logits.size()) return;
  const size_t rest = logits.size() - i;
  std::array<float, 4> padded;
  padded.fill(-kInfinity);
  std::copy_n(logits.data() + i, rest, padded.begin());
  store4(term(load4(padded.data()), largest, scale), padded.data());
  std::copy_n(padded.begin(), rest, terms + i);
}

double log_sum_exp(std::span<const float> logits, double inverse_temperature) {
  const float largest = largest_logit(logits);
  if (largest == -kInfinity) return -std::numeric_limits<double>::infinity();
  const float scale = static_cast<float>(inverse_temperature);
  constexpr size_t kBlock = 64;
  std::array<float, kBlock> terms;
  double total = 0.0;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, logits.size() - begin);
    softmax_terms(logits.subspan(begin, size), largest, scale, terms.data());
    std::fill(terms.begin() + static_cast<std::ptrdiff_t>(size), terms.end(), 0.0f);
    // 16 terms a lane are summed in float32 (6e-7 at worst), the blocks in double.
    Float4 sum{};
    for (size_t i = 0; i < kBlock; i += 4) sum += load4(terms.data() + i);
    total += (static_cast<double>(sum[0]) + static_cast<double>(sum[1])) +
             (static_cast<double>(sum[2]) + static_cast<double>(sum[3]));
  }
  return static_cast<double>(largest) * inverse_temperature + std::log(total);
}

}  // namespace ft
