#include "eval/calibration.h"

#include <gtest/gtest.h>

#include <random>

namespace ft::eval {
namespace {

// Predictions that are uniform, and come true with `truth(prediction)`.
template <class Truth>
CalibrationFigures of_source(uint64_t seed, int count, Truth truth) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<> uniform;
  Calibration calibration;
  for (int i = 0; i < count; ++i) {
    const double predicted = uniform(random);
    calibration.add(predicted, uniform(random) < truth(predicted));
  }
  return calibration.figures();
}

TEST(Calibration, KnowsACalibratedSource) {
  double ece = 0.0;
  double noise = 0.0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const CalibrationFigures figures = of_source(seed, 2000, [](double p) { return p; });
    EXPECT_LT(figures.ece, 2.0 * figures.noise);
    // Of uniform predictions p that come true with chance p: E[p (1 - p)] = 1 / 6, and a hit beats a miss
    // with chance 5 / 6.
    EXPECT_NEAR(figures.brier, 1.0 / 6.0, 0.02);
    EXPECT_NEAR(figures.auc, 5.0 / 6.0, 0.03);
    ece += figures.ece;
    noise += figures.noise;
  }
  EXPECT_NEAR(ece / noise, 1.0, 0.06);
}

TEST(Calibration, MeasuresABiasThatItIsGiven) {
  const CalibrationFigures figures = of_source(1, 200'000, [](double p) { return 0.8 * p; });
  // E|p - 0.8 p| = 0.1.
  EXPECT_NEAR(figures.ece, 0.1, 0.004);
  EXPECT_GT(figures.ece, 10.0 * figures.noise);
}

TEST(Calibration, CountsWhatWasAdded) {
  Calibration calibration;
  EXPECT_EQ(calibration.figures().count, 0);
  calibration.add(1.0, true);
  calibration.add(0.0, false);
  const CalibrationFigures figures = calibration.figures();
  EXPECT_EQ(figures.count, 2);
  EXPECT_EQ(figures.ece, 0.0);
  EXPECT_EQ(figures.brier, 0.0);
  EXPECT_EQ(figures.auc, 1.0);
  EXPECT_EQ(figures.bins.front().count, 1);
  EXPECT_EQ(figures.bins.back().hits, 1);
}

}  // namespace
}  // namespace ft::eval
