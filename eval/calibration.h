// How well predicted probabilities match what happened: reliability diagram, expected calibration error,
// Brier score and AUC. Every prediction counts the same; scheduler/speculation/reliability.h has the sliding
// form for a server.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ft::eval {

// A bar of a reliability diagram: the predictions that fall into one interval of probability.
struct ReliabilityBin {
  int64_t count = 0;
  double predicted = 0.0;  // sum of the predictions
  int64_t hits = 0;        // of these, what was predicted happened
};

struct CalibrationFigures {
  int64_t count = 0;
  double ece = 0.0;    // sum_b n_b/N |mean prediction - rate of hits| over the bins
  double noise = 0.0;  // the ECE to expect of as many predictions that are right
  double brier = 0.0;  // mean squared error
  double auc = 0.5;    // chance that a hit had the higher prediction; 0.5 if there is one kind only
  std::vector<ReliabilityBin> bins;
};

class Calibration {
 public:
  static constexpr int kBins = 20;        // equal, as in dspark.md 1.7
  static constexpr int kFineBins = 1000;  // for the AUC, as in dspark.md 1.7

  // `predicted` is in [0, 1].
  void add(double predicted, bool hit);
  int64_t count() const { return count_; }
  CalibrationFigures figures() const;

 private:
  std::array<ReliabilityBin, kBins> bins_{};
  std::array<double, kBins> variance_{};  // that the hits would have if the predictions were right
  std::vector<std::array<int64_t, 2>> fine_ = std::vector<std::array<int64_t, 2>>(kFineBins);  // misses, hits
  double squared_error_ = 0.0;
  int64_t count_ = 0;
};

}  // namespace ft::eval
