// A monotone map from predicted probabilities to observed ones, learned outcome by outcome: isotonic
// regression over intervals of the prediction, with a straight line in each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace ft::scheduler {

// Starts as the identity. Memory is fixed.
class IsotonicMap {
 public:
  IsotonicMap();

  // The map, in [0, 1].
  float at(float predicted) const { return std::min(lines_[interval(predicted)].at(predicted), 1.0f); }
  // Learns from one prediction and its outcome. The lines follow a little later, at the next refit.
  void observe(float predicted, bool hit);
  // Takes in what was observed since the lines were last fitted.
  void refit();

  // Everything that is learned, for keeping it. refit() afterwards.
  template <class Self, class Visit>
  static void visit_state(Self& self, Visit visit) {
    visit(self.observed_);
    for (size_t k = 0; k < kIntervals; ++k) {
      visit(self.count_[k]);
      visit(self.predicted_[k]);
      visit(self.hits_[k]);
    }
  }

 private:
  static constexpr int kGrid = 256;
  // Edges of the intervals, in parts of the grid. They are narrow at the ends: most predictions of a good
  // drafter are there, and there it matters most that the tokens of one path are not accepted independently.
  static constexpr std::array kEdges = {0,   8,   16,  32,  48,  64,  80,  96,  112, 128, 144,
                                        160, 176, 192, 208, 224, 236, 243, 248, 252, 255, kGrid};
  static constexpr size_t kIntervals = kEdges.size() - 1;
  static constexpr std::array<uint8_t, kGrid> kIntervalOf = [] {
    std::array<uint8_t, kGrid> intervals{};
    for (size_t part = 0, interval = 0; part < intervals.size(); ++part) {
      if (static_cast<int>(part) == kEdges[interval + 1]) ++interval;
      intervals[part] = static_cast<uint8_t>(interval);
    }
    return intervals;
  }();
  static size_t interval(float predicted) {
    const auto part = static_cast<uint32_t>(static_cast<int32_t>(predicted * kGrid));
    return kIntervalOf[std::min(part, uint32_t{kGrid - 1})];
  }
  // Means of predictions and outcomes of each interval, as values of a rising curve.
  struct Means {
    std::array<double, kIntervals> x, y;
  };
  Means pooled_means() const;

  struct Line {
    float begin = 0.0f;
    float value = 0.0f;  // at its beginning
    float slope = 0.0f;
    float at(float predicted) const { return value + slope * (predicted - begin); }
  };

  // Decayed sums per interval: outcomes, their predictions, their hits.
  std::array<double, kIntervals> count_{};
  std::array<double, kIntervals> predicted_{};
  std::array<double, kIntervals> hits_{};
  double observed_ = 0.0;  // outcomes, as far as that makes refits rarer
  double since_refit_ = 0.0;
  std::array<Line, kIntervals> lines_{};
};

}  // namespace ft::scheduler
