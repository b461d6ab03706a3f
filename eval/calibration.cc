#include "eval/calibration.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace ft::eval {

namespace {

size_t bin_of(double predicted, int bins) {
  return static_cast<size_t>(std::min(static_cast<int>(predicted * bins), bins - 1));
}

}  // namespace

void Calibration::add(double predicted, bool hit) {
  FT_CHECK(predicted >= 0.0 && predicted <= 1.0, predicted);
  const size_t bin = bin_of(predicted, kBins);
  ++bins_[bin].count;
  bins_[bin].predicted += predicted;
  bins_[bin].hits += hit ? 1 : 0;
  variance_[bin] += predicted * (1.0 - predicted);
  ++fine_[bin_of(predicted, kFineBins)][hit ? 1 : 0];
  const double error = predicted - (hit ? 1.0 : 0.0);
  squared_error_ += error * error;
  ++count_;
}

CalibrationFigures Calibration::figures() const {
  CalibrationFigures figures;
  figures.count = count_;
  if (count_ == 0) return figures;
  const auto count = static_cast<double>(count_);
  for (size_t bin = 0; bin < bins_.size(); ++bin) {
    figures.ece += std::abs(bins_[bin].predicted - static_cast<double>(bins_[bin].hits)) / count;
    // A sum of many outcomes is nearly normal, and E|x| = sqrt(2 / pi) sigma.
    figures.noise += std::sqrt(2.0 * std::numbers::inv_pi * variance_[bin]) / count;
  }
  figures.brier = squared_error_ / count;
  double hits = 0.0;
  double misses = 0.0;
  double ordered = 0.0;
  for (const auto& [missed, hit] : fine_) {
    ordered += static_cast<double>(hit) * (misses + 0.5 * static_cast<double>(missed));
    hits += static_cast<double>(hit);
    misses += static_cast<double>(missed);
  }
  if (hits > 0.0 && misses > 0.0) figures.auc = ordered / (hits * misses);
  figures.bins.assign(bins_.begin(), bins_.end());
  return figures;
}

}  // namespace ft::eval
