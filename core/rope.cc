#include "core/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ft {

namespace {

// 1 / theta^(2i/dim) with float32 steps, as the released code forms them.
std::vector<float> plain_frequencies(double theta, int64_t dim) {
  std::vector<float> frequencies(static_cast<size_t>(dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    // The power is taken in double and rounded once: a correctly rounded powf.
    const float power = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    frequencies[i] = 1.0f / power;
  }
  return frequencies;
}

}  // namespace

RopeTable RopeTable::plain(const ModelConfig& config) {
  RopeTable table;
  table.frequencies_ = plain_frequencies(config.rope_theta, config.qk_rope_head_dim);
  return table;
}

RopeTable RopeTable::compressed(const ModelConfig& config) {
  RopeTable table;
  const double dim = static_cast<double>(config.qk_rope_head_dim);
  const double theta = config.compress_rope_theta;
  table.frequencies_ = plain_frequencies(theta, config.qk_rope_head_dim);
  const RopeScaling& yarn = config.rope_scaling;
  if (yarn.original_max_position_embeddings <= 0) return table;
  const auto correction = [&](double rotations) {
    return dim *
           std::log(static_cast<double>(yarn.original_max_position_embeddings) /
                    (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  const double low = std::max(std::floor(correction(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction(yarn.beta_slow)), dim - 1);
  if (high == low) high += 0.001;
  const float factor = static_cast<float>(yarn.factor);
  for (size_t i = 0; i < table.frequencies_.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float keep = 1.0f - ramp;
    float& f = table.frequencies_[i];
    f = f / factor * (1.0f - keep) + f * keep;
  }
  return table;
}

void RopeTable::rotate(int64_t position, float* out) const {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = static_cast<double>(static_cast<float>(position) * frequencies_[i]);
    out[2 * i] = static_cast<float>(std::cos(angle));
    out[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace ft
