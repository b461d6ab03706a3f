// How well predicted probabilities match what happened: calibration error, Brier score and AUC, over a
// sliding window.
#pragma once

#include <array>

namespace ft::scheduler {

// How well predicted path probabilities match what happened, at one depth. Predictions count as they were
// made, before their outcome was learned from.
struct Reliability {
  static constexpr int kBins = 20;  // equal, as in dspark.md 1.7

  struct Bin {
    double count = 0.0;
    double predicted = 0.0;  // sum of predictions
    double hits = 0.0;
    double variance = 0.0;  // that hits would have if the predictions were right
  };
  // Sums with growing weights: the last 20,000 predictions or so count.
  std::array<Bin, kBins> bins{};
  double squared_error = 0.0;
  double weight = 1.0;

  void add(double predicted, bool hit);
  double count() const { return total() / weight; }
  // sum_b n_b/N |mean prediction - mean outcome|
  double ece() const;
  // ece() expected of as many predictions that are right: what chance alone makes of it.
  double noise() const;
  // Mean squared error.
  double brier() const;
  // Chance that a hit had a higher prediction than a miss, over the bins; 0.5 if there is one kind only.
  double auc() const;

 private:
  static constexpr double kGrowth = 1.0 + 1.0 / 20000.0;
  static constexpr double kWeightMax = 1e9;
  double total() const;
};

}  // namespace ft::scheduler
