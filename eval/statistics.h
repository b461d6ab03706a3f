// Figures of repeated measurements: medians, percentiles, bootstrap intervals.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace ft::eval {

// The middle value; of an even number of values the upper one of the two. `values` is not empty.
double median(std::vector<double> values);
// The smallest value that at least `share` (0 to 1) of the values do not exceed. `values` is not empty.
double percentile(std::vector<double> values, double share);

// An estimate with the interval that holds it with 95 % confidence.
struct Interval {
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
};

// A statistic of items, given how often each of them counts.
using WeightedStatistic = std::function<double(std::span<const int32_t> counts)>;

// Percentile bootstrap over `items` independent items (here: prompts), drawn with replacement `resamples`
// times: the statistic of every item once, and the 2.5 and 97.5 percentiles of the resamples. The same
// numbers for the same seed. A statistic that looks at two arms of the same items makes it paired.
Interval bootstrap(size_t items, const WeightedStatistic& statistic, uint64_t seed, int resamples = 2000);

}  // namespace ft::eval
