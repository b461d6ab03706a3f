#include "scheduler/speculation/cost_model.h"

#include <algorithm>
#include <cmath>

namespace ft::scheduler {

namespace {

// Forgetting of the expert regression: about the last thousand steps count.
constexpr double kRegressionDecay = 0.999;
// Experts, squared, that must have been seen to vary before a price is believed: a few rows' worth.
constexpr double kRegressionPrior = 4.0;
// Steps after which a change of the machine's speed is believed. Few, as whoever shares the machine comes and goes; the
// relations between costs, which all decisions hang on, are remembered for longer (CostCurve::kMemory).
constexpr double kSpeedMemory = 4.0;
// Observations that the price of catching up remembers.
constexpr double kCatchUpMemory = 16.0;

}  // namespace

CostModel::CostModel(int32_t rows_max, int32_t positions_max, double experts_per_row, double experts_max)
    : experts_per_row_(experts_per_row),
      experts_max_(experts_max),
      verify_(cost_grid(rows_max)),
      draft_(cost_grid(positions_max)) {}

double CostModel::independent_experts(double rows) const {
  if (experts_max_ <= 0.0) return rows * experts_per_row_;
  return experts_max_ * (1.0 - std::pow(1.0 - experts_per_row_ / experts_max_, rows));
}

void CostModel::settle() {
  verify_.settle();
  draft_.settle();
}

double CostModel::regression_prior() const {
  return kRegressionPrior * experts_per_row_ * experts_per_row_;
}

double CostModel::draft_seconds(double positions) const {
  return positions > 0.0 ? draft_.at(positions) : 0.0;
}

// Other programs come and go, processors change their clock, contexts grow: all of it changes all costs at once, those
// of row counts that are not verified just now included.
void CostModel::follow_machine(int32_t rows, double experts, double seconds) {
  // What is unusual for a row count that is not well known is its own.
  const double expected = verify_seconds(rows, experts);
  if (verify_.observed_since(rows) < CostCurve::kMemory || expected <= 0.0) return;
  const double factor = std::pow(std::clamp(seconds / expected, 0.5, 2.0), 1.0 / kSpeedMemory);
  verify_.scale(factor);
  draft_.scale(factor);
  seconds_per_expert_ *= factor;
  seconds_per_catch_up_row_ *= factor;
  sum_xy_ *= factor;
}

void CostModel::observe_verify(int32_t rows, double experts, double seconds) {
  follow_machine(rows, experts, seconds);
  // Against the mean of the point nearest to `rows`, so that rows and experts, which grow together, are told
  // apart.
  const CostCurve::Point* nearest = nullptr;
  for (const CostCurve::Point& point : verify_.points())
    if (point.weight >= 2.0 && (nearest == nullptr || std::abs(point.x - rows) < std::abs(nearest->x - rows)))
      nearest = &point;
  if (nearest != nullptr && nearest->x == static_cast<double>(rows)) {
    const double x = experts - nearest->experts;
    const double y = std::clamp(seconds, 0.5 * nearest->seconds, 2.0 * nearest->seconds) - nearest->seconds;
    sum_xx_ = sum_xx_ * kRegressionDecay + x * x;
    sum_xy_ = sum_xy_ * kRegressionDecay + x * y;
    seconds_per_expert_ = std::max(0.0, sum_xy_ / (sum_xx_ + regression_prior()));
    verify_.set_expert_price(seconds_per_expert_);
  }
  verify_.observe(rows, seconds, experts);
}

void CostModel::observe_draft(int32_t positions, int64_t catch_up_rows, double seconds) {
  // What exceeds the usual is the price of the rows, once there is a usual.
  if (catch_up_rows > 0 && !draft_.empty()) {
    const double row = std::max(0.0, seconds - draft_.at(positions)) / static_cast<double>(catch_up_rows);
    seconds_per_catch_up_row_ +=
        (row - seconds_per_catch_up_row_) / (seconds_per_catch_up_row_ > 0.0 ? kCatchUpMemory : 1.0);
    return;
  }
  draft_.observe(positions, seconds, 0.0);
}

void CostModel::restore(std::span<const CostCurve::Point> verify, std::span<const CostCurve::Point> draft,
                        double seconds_per_expert, double seconds_per_catch_up_row) {
  seconds_per_catch_up_row_ = std::max(0.0, seconds_per_catch_up_row);
  seconds_per_expert_ = std::max(0.0, seconds_per_expert);
  // As if it had been seen with nine times the weight of the prior.
  sum_xx_ = 9.0 * regression_prior();
  sum_xy_ = seconds_per_expert_ * 10.0 * regression_prior();
  verify_.restore(verify);
  verify_.set_expert_price(seconds_per_expert_);
  draft_.restore(draft);
}

}  // namespace ft::scheduler
