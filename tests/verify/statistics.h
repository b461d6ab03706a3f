// Tests of a distribution with a stated error: chi-square and binomial, both at alpha = 1e-6 per test.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

namespace ft::verify {

inline constexpr double kAlphaZOneSided = 4.753;  // normal quantile of 1 - 1e-6
inline constexpr double kAlphaZTwoSided = 4.892;  // of 1 - 5e-7

// Pearson's statistic of `observed` counts against `probability`; cells of probability 0 must be empty, or it
// is infinite.
inline double chi_square(std::span<const int64_t> observed, std::span<const double> probability) {
  double total = 0;
  for (const int64_t count : observed) total += static_cast<double>(count);
  double statistic = 0;
  for (size_t i = 0; i < observed.size(); ++i) {
    const double expected = total * probability[i];
    const double difference = static_cast<double>(observed[i]) - expected;
    if (expected > 0)
      statistic += difference * difference / expected;
    else if (observed[i] > 0)
      return INFINITY;
  }
  return statistic;
}

// The 1 - 1e-6 quantile (Wilson and Hilferty; within 2 % for 2 degrees or more).
inline double chi_square_limit(double degrees) {
  const double a = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1.0 - a + kAlphaZOneSided * std::sqrt(a), 3.0);
}

// How far an observed frequency in n draws may be from the probability p.
inline double share_limit(double p, double n) {
  return kAlphaZTwoSided * std::sqrt(p * (1.0 - p) / n);
}

}  // namespace ft::verify
