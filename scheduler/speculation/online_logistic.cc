#include "scheduler/speculation/online_logistic.h"

#include <algorithm>
#include <cmath>

namespace ft::scheduler {

namespace {

// Standard deviations of what the parameters are believed to be before anything was observed.
constexpr double kScaleSpread = 0.5;
constexpr double kOffsetSpread = 1.0;
// However few the outcomes, no score counts backwards and no probability becomes certain.
constexpr double kScaleMax = 4.0;
constexpr double kOffsetMax = 8.0;

}  // namespace

void OnlineLogistic::start(draft::LogisticMap prior) {
  scale_ = prior.scale;
  offset_ = prior.offset;
  // A scale of 0 says that the score is not to be trusted, so it is learned more slowly.
  p00_ = kScaleSpread * kScaleSpread * (prior.scale == 0.0f ? 0.1 : 1.0);
  p01_ = 0.0;
  p11_ = kOffsetSpread * kOffsetSpread;
}

void OnlineLogistic::observe(float score, bool hit) {
  const auto x = static_cast<double>(draft::bounded_score(score));
  const double probability = 1.0 / (1.0 + std::exp(-(scale_ * x + offset_)));
  const double curvature = std::max(probability * (1.0 - probability), 0.01);
  // Recursive least squares in the parameters: P = (H + w x x')^-1 by the matrix inversion lemma.
  const double gain0 = p00_ * x + p01_;
  const double gain1 = p01_ * x + p11_;
  const double part = 1.0 / (1.0 / curvature + x * gain0 + gain1);
  p00_ -= gain0 * gain0 * part;
  p01_ -= gain0 * gain1 * part;
  p11_ -= gain1 * gain1 * part;
  const double error = (hit ? 1.0 : 0.0) - probability;
  scale_ = std::clamp(scale_ + (p00_ * x + p01_) * error, 0.0, kScaleMax);
  offset_ = std::clamp(offset_ + (p01_ * x + p11_) * error, -kOffsetMax, kOffsetMax);
  // Forgetting, bounded by what is believed of unknown parameters.
  constexpr double kForget = 1.0 / kOutcomeKeep;
  p00_ = std::min(p00_ * kForget, kScaleSpread * kScaleSpread);
  p01_ = p01_ * kForget;
  p11_ = std::min(p11_ * kForget, kOffsetSpread * kOffsetSpread);
  if (p01_ * p01_ > p00_ * p11_) p01_ = std::copysign(std::sqrt(p00_ * p11_), p01_);
}

}  // namespace ft::scheduler
