#include "core/categorical.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ft {
namespace {

TEST(Softmax, IsTheDefinition) {
  const std::vector<float> logits = {0.5f, -2.0f, 3.25f, 3.0f, -40.0f};
  for (double temperature : {0.1, 0.7, 1.0, 5.0}) {
    std::vector<double> got(logits.size());
    const double largest = softmax(logits, temperature, got);
    double total = 0.0;
    for (float logit : logits) total += std::exp(logit / temperature);
    for (size_t v = 0; v < logits.size(); ++v) {
      const double want = std::exp(logits[v] / temperature) / total;
      EXPECT_NEAR(got[v], want, 1e-14 + 1e-12 * want) << temperature << " " << v;
    }
    EXPECT_NEAR(largest, got[2], 1e-15);
  }
}

TEST(Softmax, PassesOverWhatIsNotANumber) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<double> got(4);
  EXPECT_EQ(softmax(std::vector<float>{kNan, 1.0f, -kInfinity, 1.0f}, 1.0, got), 0.5);
  EXPECT_EQ(got, (std::vector<double>{0.0, 0.5, 0.0, 0.5}));
  EXPECT_EQ(softmax(std::vector<float>{kInfinity, 1.0f, kInfinity, kNan}, 1.0, got), 0.5);
  EXPECT_EQ(got, (std::vector<double>{0.5, 0.0, 0.5, 0.0}));
  EXPECT_EQ(softmax(std::vector<float>(4, kNan), 1.0, got), 0.0);
  EXPECT_EQ(got, std::vector<double>(4, 0.0));
}

}  // namespace
}  // namespace ft
