#include "scheduler/speculation/cost_curve.h"

#include <bit>
#include <cmath>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// Observations that a point must have to outweigh the level of all others.
constexpr double kLevelPrior = 2.0;

}  // namespace

std::vector<double> cost_grid(int32_t max) {
  std::vector<double> grid;
  for (int32_t rows = 1; rows < max;
       rows += rows < 8 ? 1 : 1 << (std::bit_width(static_cast<uint32_t>(rows)) - 3))
    grid.push_back(rows);
  grid.push_back(max);
  return grid;
}

CostCurve::CostCurve(std::vector<double> grid) {
  FT_CHECK(!grid.empty());
  for (double x : grid) points_.push_back({x, 0.0, 0.0, 0.0});
  value_.assign(points_.size(), 0.0);
  table_.assign(std::max<size_t>(static_cast<size_t>(points_.back().x) + 1, 2), 0.0);
}

std::pair<size_t, size_t> CostCurve::around(double x) const {
  size_t right = 0;
  while (right + 1 < points_.size() && points_[right].x < x) ++right;
  const size_t left = right > 0 && points_[right].x > x ? right - 1 : right;
  return {left, right};
}

void CostCurve::observe(double x, double seconds, double experts) {
  const double expected = empty() ? seconds : at(x) + expert_price_ * experts;
  const double bounded = std::clamp(seconds, 0.5 * expected, 2.0 * expected);
  const auto [left, right] = around(x);
  for (size_t i = left; i <= right; ++i) {
    Point& point = points_[i];
    const double width = points_[right].x - points_[left].x;
    const double share = width > 0.0 ? 1.0 - std::abs(point.x - x) / width : 1.0;
    if (share <= 0.0) continue;
    // What the same step would have cost at the point itself, by the curve as it is.
    const double there = empty() ? bounded : bounded + at(point.x) - at(x);
    if (!fresh_.empty()) {
      // What was settled gives the shape; the mean begins anew.
      if (fresh_[i] == 0.0) point = {point.x, 0.0, 0.0, 0.0};
      fresh_[i] = std::min(fresh_[i] + share, kMemory);
    }
    point.weight = std::min(point.weight + share, kMemory);
    const double rate = share / point.weight;
    point.seconds += rate * (there - point.seconds);
    point.experts += rate * (experts - point.experts);
  }
  ++observed_;
  refresh();
}

void CostCurve::set_expert_price(double seconds_per_expert) {
  expert_price_ = seconds_per_expert;
  refresh();
}

void CostCurve::restore(std::span<const Point> points) {
  for (const Point& saved : points)
    for (Point& point : points_)
      if (point.x == saved.x && saved.weight > 0.0) {
        point = saved;
        point.weight = std::min(saved.weight, kMemory);
        ++observed_;
      }
  if (observed_ > 0) settle();
}

void CostCurve::settle() {
  shape_points_ = points_;
  fresh_.assign(points_.size(), 0.0);
  refresh();
}

double CostCurve::observed_since(double x) const {
  double least = kMemory;
  const auto [left, right] = around(x);
  for (size_t i = left; i <= right; ++i) least = std::min(least, fresh_.empty() ? 0.0 : fresh_[i]);
  return least;
}

void CostCurve::scale(double factor) {
  for (Point& point : points_) point.seconds *= factor;
  for (Point& point : shape_points_) point.seconds *= factor;
  for (double& value : value_) value *= factor;
  for (double& value : table_) value *= factor;
  expert_price_ *= factor;
}

// Completes value_ from the points that `has` says are known: straight lines between them, and never falling,
// because a point that is cheaper than one before it is noise. False if none is known.
template <class Has>
bool CostCurve::fill(Has has) {
  double highest = 0.0;
  size_t last = points_.size();
  for (size_t i = 0; i < points_.size(); ++i) {
    if (!has(i)) continue;
    highest = std::max(highest, value_[i]);
    value_[i] = highest;
    // Before the first one the cost is flat.
    const size_t begin = last == points_.size() ? 0 : last + 1;
    for (size_t k = begin; k < i; ++k)
      value_[k] = last == points_.size()
                      ? value_[i]
                      : value_[last] + (value_[i] - value_[last]) * (points_[k].x - points_[last].x) /
                                           (points_[i].x - points_[last].x);
    last = i;
  }
  if (last == points_.size()) return false;
  // Beyond the last one: the slope of what was observed in the octave before it, because that between two
  // neighbours is mostly noise. In proportion where there is only one.
  size_t from = last;
  for (size_t k = last; k-- > 0 && 2.0 * points_[from].x > points_[last].x;)
    if (has(k)) from = k;
  double slope = value_[last] / points_[last].x;
  if (from < last) slope = (value_[last] - value_[from]) / (points_[last].x - points_[from].x);
  for (size_t k = last + 1; k < points_.size(); ++k)
    value_[k] = value_[last] + slope * (points_[k].x - points_[last].x);
  return true;
}

// Moves value_, the shape that was settled, to the level of what was observed since: by the ratio of the two
// at the points observed, and between and beyond them by that of the nearest. Steps that do more than what
// was measured at the start, or a machine that has become slower, then change the level everywhere and the
// shape nowhere else.
void CostCurve::level() {
  ratio_.assign(points_.size(), 0.0);  // 0: not observed since
  double sum = 0.0;
  double weight = 0.0;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (fresh_[i] == 0.0 || value_[i] <= 0.0) continue;
    ratio_[i] = std::clamp(base(points_[i]) / value_[i], 0.1, 10.0);
    sum += fresh_[i] * ratio_[i];
    weight += fresh_[i];
  }
  if (weight == 0.0) return;
  const double everywhere = sum / weight;
  for (size_t i = 0; i < points_.size(); ++i)
    if (ratio_[i] > 0.0)
      ratio_[i] = (fresh_[i] * ratio_[i] + kLevelPrior * everywhere) / (fresh_[i] + kLevelPrior);
  size_t nearest = points_.size();
  size_t next = 0;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (ratio_[i] > 0.0) nearest = i;
    next = std::max(next, i + 1);
    while (next < points_.size() && ratio_[next] == 0.0) ++next;
    const bool ahead =
        next < points_.size() &&
        (nearest == points_.size() || points_[next].x - points_[i].x < points_[i].x - points_[nearest].x);
    value_[i] *= ratio_[ahead ? next : nearest];
  }
}

void CostCurve::refresh() {
  bool known;
  if (shape_points_.empty()) {
    for (size_t i = 0; i < points_.size(); ++i) value_[i] = base(points_[i]);
    known = fill([&](size_t i) { return points_[i].weight > 0.0; });
  } else {
    for (size_t i = 0; i < points_.size(); ++i) value_[i] = base(shape_points_[i]);
    known = fill([&](size_t i) { return shape_points_[i].weight > 0.0; });
    if (known) level();
    fill([](size_t) { return true; });
  }
  if (!known) return;
  size_t right = 0;
  for (size_t x = 0; x < table_.size(); ++x) {
    const auto here = static_cast<double>(x);
    while (right + 1 < points_.size() && points_[right].x < here) ++right;
    if (right == 0 || points_[right].x < here) {
      table_[x] = value_[right];
      continue;
    }
    const double width = points_[right].x - points_[right - 1].x;
    table_[x] =
        value_[right - 1] + (value_[right] - value_[right - 1]) * (here - points_[right - 1].x) / width;
  }
}

}  // namespace ft::scheduler
