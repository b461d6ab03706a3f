// What a step costs: seconds as a function of the rows verified, of the distinct experts they activate, and
// of the positions drafted (dspark.md 3.4). Measured at the start, refined by every step.
//
//   verify(rows, experts) = base(rows) + seconds_per_expert * experts
//
// An expert here is a (layer, expert) pair whose weights a step has to read. base is kept at a grid of row
// counts and interpolated between them; it never falls. Pure: seconds are arguments, there is no clock in
// here.
#pragma once

#include <cstdint>
#include <span>

#include "scheduler/speculation/cost_curve.h"

namespace ft::scheduler {

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

  // The end of measuring (CostCurve::settle). From now on, steps of a row count that has been seen often say above all
  // how fast the machine is just now, at everything.
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
  void follow_machine(int32_t rows, double experts, double seconds);
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

}  // namespace ft::scheduler
