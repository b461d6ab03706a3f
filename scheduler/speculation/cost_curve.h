// A cost in seconds as a function of a count: measured at a few counts, refined by every observation,
// interpolated between them, and never falling.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ft::scheduler {

// A straight line between points (x ascending), continued with the slope of its last octave, or in proportion
// where there is one point only. For a cost that is learned at a few places and asked for at others.
class CostCurve {
 public:
  struct Point {
    double x = 0.0;
    double seconds = 0.0;  // mean of what was observed here
    double experts = 0.0;  // mean experts of these observations
    double weight = 0.0;   // observations, up to kMemory; 0 = never observed
  };
  // A later observation counts at least 1 / kMemory.
  static constexpr double kMemory = 32.0;

  explicit CostCurve(std::vector<double> grid);

  // Seconds at x, of the observed points; 0 if there is none.
  double at(double x) const {
    const size_t last = table_.size() - 1;
    const auto i = std::min(static_cast<size_t>(std::max(x, 0.0)), last - 1);
    return table_[i] + (table_[i + 1] - table_[i]) * (x - static_cast<double>(i));
  }
  // At a whole number nothing has to be interpolated.
  double at(int32_t x) const {
    const auto i = static_cast<size_t>(std::max(x, 0));
    return i < table_.size() ? table_[i] : at(static_cast<double>(x));
  }
  // Adds `seconds` observed at x to the points on both sides of it. Ones far off the curve (a step that the
  // system interrupted) pull no harder than twice the cost.
  void observe(double x, double seconds, double experts);
  bool empty() const { return observed_ == 0; }

  std::span<const Point> points() const { return points_; }
  // What was observed so far gives the shape of the curve from now on; what is observed later moves its
  // level, and its shape only where it is observed.
  void settle();
  // Replaces the points whose x is the same, and settles them; others are ignored.
  void restore(std::span<const Point> points);
  // Observations at x since the points were settled, up to kMemory; 0 before.
  double observed_since(double x) const;
  // Everything costs `factor` times what it did, the experts of set_expert_price included.
  void scale(double factor);
  // Takes `seconds_per_expert` out of what at() returns, which is then the cost without experts.
  void set_expert_price(double seconds_per_expert);

 private:
  // The points on both sides of x; twice the same one at a point and beyond the ends.
  std::pair<size_t, size_t> around(double x) const;
  double base(const Point& point) const { return point.seconds - expert_price_ * point.experts; }
  template <class Has>
  bool fill(Has has);
  void level();
  void refresh();

  std::vector<Point> points_;
  std::vector<double> value_;        // at the points: non-decreasing, those never observed filled in
  std::vector<Point> shape_points_;  // as they were settled; empty before
  std::vector<double> fresh_;        // weight of what each point has observed since; empty before
  std::vector<double> ratio_;        // scratch
  std::vector<double> table_;        // at() of every whole number from 0 on
  int64_t observed_ = 0;
  double expert_price_ = 0.0;
};

// Row counts at which costs are kept: every one up to 8, then four per octave.
std::vector<double> cost_grid(int32_t max);

}  // namespace ft::scheduler
