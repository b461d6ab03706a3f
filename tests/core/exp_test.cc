#include "core/exp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ft {
namespace {

TEST(Exp, IsNearTheLibrarysDownToTheSmallestNormalNumber) {
  for (int i = 0; i <= 87000; ++i) {
    const float x = -static_cast<float>(i) / 1000.0f;
    const double want = std::exp(static_cast<double>(x));
    const Float4 got = exp_nonpositive(Float4{x, 0.0f, x, -1.0f});
    ASSERT_NEAR(static_cast<double>(got[0]) / want, 1.0, 5e-7) << x;
    ASSERT_EQ(got[2], got[0]) << x;  // whatever the lane and its neighbours
  }
}

TEST(Exp, Is1At0And0ForWhatIsTooLowOrNotANumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Float4 got =
      exp_nonpositive(Float4{0.0f, -87.1f, -infinity, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(got[0], 1.0f);
  for (int lane = 1; lane < 4; ++lane) EXPECT_EQ(got[lane], 0.0f) << lane;
}

}  // namespace
}  // namespace ft
