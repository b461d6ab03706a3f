#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/check.h"

namespace ft::eval {

double median(std::vector<double> values) {
  FT_CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double percentile(std::vector<double> values, double share) {
  FT_CHECK(!values.empty());
  const double rank = std::ceil(share * static_cast<double>(values.size())) - 1.0;
  const auto index =
      static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + index, values.end());
  return values[static_cast<size_t>(index)];
}

Interval bootstrap(size_t items, const WeightedStatistic& statistic, uint64_t seed, int resamples) {
  std::vector<int32_t> counts(items, 1);
  Interval interval;
  interval.value = interval.low = interval.high = statistic(counts);
  if (items < 2) return interval;
  std::mt19937_64 random(seed);
  std::vector<double> values;
  values.reserve(static_cast<size_t>(resamples));
  for (int i = 0; i < resamples; ++i) {
    std::fill(counts.begin(), counts.end(), 0);
    // Not a distribution of the library, whose draws differ between implementations.
    for (size_t k = 0; k < items; ++k) ++counts[random() % items];
    values.push_back(statistic(counts));
  }
  interval.low = percentile(values, 0.025);
  interval.high = percentile(values, 0.975);
  return interval;
}

}  // namespace ft::eval
