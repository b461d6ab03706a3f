// What a step costs: seconds as a function of the rows verified, of the distinct experts they activate, and
// of the positions drafted (dspark.md 3.4). Measured at the start, refined by every step.
//
//   verify(rows, experts) = base(rows) + seconds_per_expert * experts
//
// An expert here is a (layer, expert) pair whose weights a step has to read. base is kept at a grid of row
// counts and interpolated between them; it never falls. Pure: seconds are arguments, there is no clock in
// here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
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
  // Takes `seconds_per_expert` out of what at() returns, which is then the cost without experts.
  void set_expert_price(double seconds_per_expert);

 private:
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

class CostModel {
 public:
  // `experts_per_row`: (layer, expert) pairs that one row activates; `experts_max`: that there are, 0 = no
  // end of them.
  CostModel(int32_t rows_max, int32_t positions_max, double experts_per_row, double experts_max = 0.0);

  // Seconds of forward, sampling and commit of a step. rows >= 1.
  double verify_seconds(double rows, double experts) const {
    return verify_.at(rows) + seconds_per_expert_ * experts;
  }
  double verify_seconds(int32_t rows, double experts) const {
    return verify_.at(rows) + seconds_per_expert_ * experts;
  }
  // The same for rows that choose their experts independently of each other.
  double verify_seconds(double rows) const { return verify_seconds(rows, independent_experts(rows)); }
  // Seconds of one call that drafts `positions` positions: requests times the depth of the pass. 0 for none.
  double draft_seconds(double positions) const;
  // Seconds of taking in `rows` rows that a drafter has observed since it last proposed, on top of
  // draft_seconds.
  double catch_up_seconds(double rows) const { return rows * seconds_per_catch_up_row_; }
  double seconds_per_expert() const { return seconds_per_expert_; }
  // Seconds of the experts that one more row adds to `rows`, if it chooses them independently.
  double experts_seconds(double rows) const {
    return seconds_per_expert_ * (independent_experts(rows + 1.0) - independent_experts(rows));
  }
  bool measured() const { return !verify_.empty(); }

  // The end of measuring: see CostCurve::settle.
  void settle();
  void observe_verify(int32_t rows, double experts, double seconds);
  // `catch_up_rows`: of the requests together, beyond those of the step before.
  void observe_draft(int32_t positions, int64_t catch_up_rows, double seconds);

  // For keeping what was learned.
  const CostCurve& verify_curve() const { return verify_; }
  const CostCurve& draft_curve() const { return draft_; }
  double seconds_per_catch_up_row() const { return seconds_per_catch_up_row_; }
  void restore(std::span<const CostCurve::Point> verify, std::span<const CostCurve::Point> draft,
               double seconds_per_expert, double seconds_per_catch_up_row);

 private:
  double regression_prior() const;
  double independent_experts(double rows) const;

  double experts_per_row_;
  double experts_max_;
  CostCurve verify_;
  CostCurve draft_;
  double seconds_per_expert_ = 0.0;
  double seconds_per_catch_up_row_ = 0.0;
  // Decayed sums of the regression of seconds on experts, both relative to their means at that row count.
  double sum_xx_ = 0.0;
  double sum_xy_ = 0.0;
};

// Row counts at which costs are kept: every one up to 8, then four per octave.
std::vector<double> cost_grid(int32_t max);

}  // namespace ft::scheduler
