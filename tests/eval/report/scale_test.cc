#include "eval/report/scale.h"

#include <gtest/gtest.h>

namespace ft::eval {
namespace {

TEST(Scale, PlacesValuesAndLabelsThemRoundly) {
  const Scale scale(0.0, 10.0, 100.0, 0.0);
  EXPECT_DOUBLE_EQ(scale.place(0.0), 100.0);
  EXPECT_DOUBLE_EQ(scale.place(2.5), 75.0);
  EXPECT_EQ(scale.ticks(5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const Scale powers(2.0, 200.0, 0.0, 100.0, true);
  EXPECT_EQ(powers.ticks(9), (std::vector<double>{2, 4, 8, 16, 32, 64, 128}));
  EXPECT_NEAR(powers.place(20.0), 50.0, 1e-9);
}

TEST(Scale, KeepsEmptyRangesApart) {
  const Scale scale(3.0, 3.0, 0.0, 1.0);
  EXPECT_LT(scale.place(3.0), scale.place(4.0));
}

TEST(Scale, WritesTicksWithAsManyDigitsAsTheyNeed) {
  EXPECT_EQ(tick_text(0.5, {0.0, 0.25, 0.5}), "0.50");
  EXPECT_EQ(tick_text(1200.0, {0.0, 1200.0}), "1,200");
  EXPECT_EQ(tick_text(-1200000.0, {0.0}), "-1,200,000");
  EXPECT_EQ(tick_text(3.0, {1.0, 2.0, 3.0}), "3");
}

TEST(Scale, EndsAxesOnARoundNumber) {
  EXPECT_DOUBLE_EQ(round_up(4.3), 5.0);
  EXPECT_DOUBLE_EQ(round_up(0.0), 1.0);
  EXPECT_GE(round_up(7.0), 7.0);
}

}  // namespace
}  // namespace ft::eval
