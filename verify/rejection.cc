#include "verify/rejection.h"

#include <algorithm>

#include "core/check.h"

namespace ft::verify {

namespace {

// Below this a difference of two distributions is rounding, and p itself is drawn from (dspark.md 2.3).
constexpr double kResidualMassMin = 1e-8;

}  // namespace

void ChainAcceptance::start(AcceptanceRule rule, NoiseKey anchor) {
  rule_ = rule;
  anchor_ = anchor;
  offered_ = 0;
  weight_ = 1.0;
  accepted_ = 0;
  next_ = kNothing;
}

bool ChainAcceptance::row(std::span<const double> p, std::span<const double> q, int32_t draft) {
  FT_CHECK(p.size() == q.size(), p.size(), q.size());
  FT_CHECK(draft >= 0 && draft < std::ssize(p), draft, p.size());
  const size_t token = static_cast<size_t>(draft);
  return rule_ == AcceptanceRule::kToken ? token_row(p, q, token) : block_row(p, q, token);
}

bool ChainAcceptance::token_row(std::span<const double> p, std::span<const double> q, size_t draft) {
  const double u = uniform(anchor_, NoiseStream::kAcceptance, static_cast<uint32_t>(offered_ + 1));
  if (u * q[draft] < p[draft]) {
    ++offered_;
    return true;
  }
  stop_here(draw_residual(p, residual(p, q)));
  return false;
}

// Block verification stops after the largest k that stands. Each row draws what would follow if its k were
// that one, so that no earlier row needs to be kept.
bool ChainAcceptance::block_row(std::span<const double> p, std::span<const double> q, size_t draft) {
  const double mass = residual(p, q);
  const double probability = weight_ < 1.0 ? mass / (mass + 1.0 - weight_) : 1.0;
  if (stands(probability)) stop_here(draw_residual(p, mass));
  // A draft that q says is impossible carries no evidence against what it follows.
  const double ratio = q[draft] > 0.0 ? p[draft] / q[draft] : (p[draft] > 0.0 ? 1.0 : 0.0);
  weight_ = std::min(1.0, weight_ * ratio);
  ++offered_;
  return weight_ > 0.0;
}

void ChainAcceptance::last_row(std::span<const double> p) {
  if (stands(weight_)) stop_here(draw(p, residual_noise()));
}

void ChainAcceptance::end() {
  if (stands(weight_)) stop_here(kNothing);
}

bool ChainAcceptance::stands(double probability) const {
  // Always with none offered, and under kToken, where the weight is 1.
  return uniform(anchor_, NoiseStream::kAcceptance, static_cast<uint32_t>(offered_)) <= probability;
}

void ChainAcceptance::stop_here(int32_t next) {
  accepted_ = offered_;
  next_ = next;
}

double ChainAcceptance::residual_noise() const {
  return uniform({anchor_.seed, anchor_.position + offered_ + 1}, NoiseStream::kResidual);
}

// sum_v max(weight * p - q, 0), and the summands.
double ChainAcceptance::residual(std::span<const double> p, std::span<const double> q) {
  residual_.resize(p.size());
  double mass = 0.0;
  for (size_t v = 0; v < p.size(); ++v) {
    residual_[v] = std::max(weight_ * p[v] - q[v], 0.0);
    mass += residual_[v];
  }
  return mass;
}

int32_t ChainAcceptance::draw_residual(std::span<const double> p, double mass) const {
  return mass < kResidualMassMin ? draw(p, residual_noise()) : draw(residual_, residual_noise());
}

}  // namespace ft::verify
