#include "scheduler/speculation/isotonic_map.h"

#include "scheduler/speculation/online_logistic.h"

namespace ft::scheduler {

namespace {

// The map is fitted again after this part of the outcomes so far, at first after few, and at last after so
// many.
constexpr double kRefitPart = 1.0 / 8.0;
constexpr double kRefitFirst = 16.0;
constexpr double kRefitLast = 256.0;
// Weight in outcomes of its starting point, the identity.
constexpr double kIdentityWeight = 8.0;

}  // namespace

IsotonicMap::IsotonicMap() {
  count_.fill(kIdentityWeight);
  for (size_t k = 0; k < kIntervals; ++k) {
    const double middle = 0.5 * (kEdges[k] + kEdges[k + 1]) / kGrid;
    predicted_[k] = kIdentityWeight * middle;
    hits_[k] = kIdentityWeight * middle;
  }
  refit();
}

void IsotonicMap::observe(float predicted, bool hit) {
  const size_t k = interval(predicted);
  count_[k] = count_[k] * kOutcomeKeep + 1.0;
  predicted_[k] = predicted_[k] * kOutcomeKeep + static_cast<double>(predicted);
  hits_[k] = hits_[k] * kOutcomeKeep + (hit ? 1.0 : 0.0);
  observed_ = std::min(observed_ + 1.0, kRefitLast / kRefitPart);
  since_refit_ += 1.0;
  if (since_refit_ >= std::max(observed_ * kRefitPart, kRefitFirst)) refit();
}

// Isotonic regression by pooling neighbours that are out of order.
IsotonicMap::Means IsotonicMap::pooled_means() const {
  std::array<double, kIntervals> pool_count, pool_hits;
  std::array<size_t, kIntervals> pool_size;
  size_t pools = 0;
  for (size_t k = 0; k < kIntervals; ++k) {
    pool_count[pools] = count_[k];
    pool_hits[pools] = hits_[k];
    pool_size[pools] = 1;
    ++pools;
    while (pools > 1 &&
           pool_hits[pools - 2] * pool_count[pools - 1] >= pool_hits[pools - 1] * pool_count[pools - 2]) {
      pool_count[pools - 2] += pool_count[pools - 1];
      pool_hits[pools - 2] += pool_hits[pools - 1];
      pool_size[pools - 2] += pool_size[pools - 1];
      --pools;
    }
  }
  Means means;
  for (size_t pool = 0, k = 0; pool < pools; ++pool)
    for (size_t i = 0; i < pool_size[pool]; ++i, ++k) {
      means.x[k] = predicted_[k] / count_[k];
      means.y[k] = pool_hits[pool] / pool_count[pool];
    }
  return means;
}

// A line through the mean of its interval is right on average, whatever its slope. Lines from one mean to the
// next would be too low wherever they bend down, as near 1. Each line takes the flatter of the slopes to both
// neighbours, so that none ends above the next one (the "minmod" limiter of finite volume methods). Before
// the first mean comes 0 at 0, behind the last 1 at 1; means may be as close to these as they like.
void IsotonicMap::refit() {
  since_refit_ = 0.0;
  const auto [x, y] = pooled_means();
  const auto slope_between = [](double x0, double y0, double x1, double y1) {
    return (y1 - y0) / std::max(x1 - x0, 1e-9);
  };
  double before = slope_between(0.0, 0.0, x[0], y[0]);
  float end = 0.0f;  // of the line before, which rounding must not let this one begin below
  for (size_t k = 0; k < kIntervals; ++k) {
    const double after = k + 1 < kIntervals ? slope_between(x[k], y[k], x[k + 1], y[k + 1])
                                            : slope_between(x[k], y[k], 1.0, 1.0);
    const double slope = std::min(before, after);
    Line& line = lines_[k];
    line.begin = static_cast<float>(kEdges[k]) / kGrid;
    line.value = std::max(end, static_cast<float>(y[k] - slope * (x[k] - static_cast<double>(line.begin))));
    line.slope = static_cast<float>(slope);
    end = line.at(static_cast<float>(kEdges[k + 1]) / kGrid);
    before = after;
  }
}

}  // namespace ft::scheduler
