#include "eval/report/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ft::eval {

namespace {

// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `step`.
double round_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0})
    if (factor * power >= step * (1.0 - 1e-9)) return factor * power;
  return 10.0 * power;
}

}  // namespace

Scale::Scale(double low, double high, double from, double to, bool logarithmic)
    : low_(low), high_(high), from_(from), to_(to), logarithmic_(logarithmic) {
  if (high_ > low_) return;
  high_ = logarithmic ? 2.0 * low_ : low_ + std::max(1.0, std::abs(low_));
}

double Scale::position(double value) const {
  if (!logarithmic_) return (value - low_) / (high_ - low_);
  return std::log(value / low_) / std::log(high_ / low_);
}

double Scale::place(double value) const {
  return from_ + position(value) * (to_ - from_);
}

std::vector<double> Scale::ticks(int count) const {
  std::vector<double> ticks;
  if (logarithmic_) {
    // Every second or fourth power where all are too many.
    const double powers = std::log2(high_ / low_);
    const double stride = powers > 3.0 * count ? 4.0 : powers > 1.5 * count ? 2.0 : 1.0;
    for (double power = std::ceil(std::log2(low_) - 1e-9); power <= std::log2(high_) + 1e-9; power += stride)
      ticks.push_back(std::exp2(power));
    return ticks;
  }
  const double step = round_step((high_ - low_) / count);
  for (double k = std::ceil(low_ / step - 1e-9); k * step <= high_ + 1e-9 * step; k += 1.0)
    ticks.push_back(k * step);
  return ticks;
}

std::string tick_text(double value, const std::vector<double>& ticks) {
  // As many decimals as the finest of the ticks needs.
  int decimals = 0;
  for (const double tick : ticks)
    for (; decimals < 6; ++decimals) {
      const double scaled = tick * std::pow(10.0, decimals);
      if (std::abs(scaled - std::round(scaled)) < 1e-6 * std::max(1.0, std::abs(scaled))) break;
    }
  const std::string plain = fmt::format("{:.{}f}", std::abs(value), decimals);
  const size_t whole = std::min(plain.find('.'), plain.size());
  std::string text = value < 0.0 ? "-" : "";
  for (size_t i = 0; i < plain.size(); ++i) {
    if (i > 0 && i < whole && (whole - i) % 3 == 0) text += ',';
    text += plain[i];
  }
  return text;
}

double round_up(double high) {
  if (high <= 0.0) return 1.0;
  const double step = round_step(high / 5.0);
  return std::ceil(high / step - 1e-9) * step;
}

}  // namespace ft::eval
