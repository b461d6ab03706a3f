// Rounding points of the official numerics that the goldens cannot tell apart,
// on inputs where they can be computed by hand.
// Each test also counts how many results would differ without the rounding, so that it is known to see it.
#include <gtest/gtest.h>

#include <cmath>

#include "core/dtype.h"
#include "tests/support/backends.h"
#include "tests/support/op_cases.h"

namespace ft::test {
namespace {

constexpr int64_t kRows = 64;
constexpr int64_t kHeadDim = 128;

float rb(double value) {
  return round_bf16(static_cast<float>(value));
}

// Keys are values, so keys on two axes show their weights. Row r: logit 0 once, and -r/20 - 0.01 eight times.
TEST(Rounding, AttentionWeightsAreBf16InTheSumButNotInTheDenominator) {
  std::vector<float> q(kRows * kHeadDim, 0.0f);
  std::vector<float> keys(2 * kHeadDim, 0.0f);
  keys[0] = 1.0f;
  keys[kHeadDim + 1] = 1.0f;
  std::vector<int32_t> window;
  std::vector<double> weights;
  for (int64_t r = 0; r < kRows; ++r) {
    // A query is a bf16 number, as everything that the model holds.
    q[r * kHeadDim + 1] = static_cast<float>(rb(-(static_cast<double>(r) / 20 + 0.01) * std::sqrt(kHeadDim)));
    weights.push_back(std::exp(q[r * kHeadDim + 1] / std::sqrt(static_cast<double>(kHeadDim))));
    window.insert(window.end(), {0, 1, 1, 1, 1, 1, 1, 1, 1});
  }
  for (const BackendUnderTest& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.label);
    const auto backend = under_test.make(Numerics::kOfficial);
    backend->reserve(nano_config(), kRows);
    BackendMemory memory(*backend);
    AttentionArgs args;
    args.q = memory.matrix(q, kHeadDim);
    args.raw = memory.floats(keys);
    args.window = memory.ints(window);
    args.window_width = 9;
    args.sink = memory.vector({0.25f});
    args.head_count = 1;
    args.head_dim = kHeadDim;
    args.inverse = memory.no_rotation(64, kRows);
    args.out = memory.output(kRows, kHeadDim);
    backend->attend(args);
    const auto out = memory.read(args.out);
    int wrong = 0;
    int unrounded = 0;
    int rounded_below = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      const double w = weights[r];
      const double z = 1.0 + 8 * w + std::exp(0.25);
      wrong += out[r * kHeadDim + 1] != rb(8 * rb(w) / z) || out[r * kHeadDim] != rb(1.0 / z);
      unrounded += rb(8 * w / z) != rb(8 * rb(w) / z);
      rounded_below += rb(8 * rb(w) / (1.0 + 8 * rb(w) + std::exp(0.25))) != rb(8 * rb(w) / z);
    }
    EXPECT_LE(wrong, 1);  // a float32 exponential may fall on the other side once
    EXPECT_GT(unrounded, 5);
    EXPECT_GT(rounded_below, 5);
  }
}

// Half of a head is a, half is b: the mean of the squares is the same in any order of summing.
TEST(Rounding, HeadNormIsBf16AtEveryStep) {
  std::vector<float> q;
  std::vector<float> expected;
  int one_rounding = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    const float a = rb(1.0 + 0.037 * static_cast<double>(r));
    const float b = rb(2.9 - 0.051 * static_cast<double>(r));
    const double mean =
        rb((static_cast<double>(rb(static_cast<double>(a) * a)) + rb(static_cast<double>(b) * b)) / 2);
    const double factor = rb(1.0 / std::sqrt(rb(mean + 1e-6)));
    const double exact =
        1.0 / std::sqrt((static_cast<double>(a) * a + static_cast<double>(b) * b) / 2 + 1e-6);
    for (int64_t i = 0; i < kHeadDim; ++i) {
      q.push_back(i % 2 == 0 ? a : b);
      expected.push_back(rb(q.back() * factor));
    }
    one_rounding += rb(a * exact) != rb(a * factor);
  }
  EXPECT_GT(one_rounding, 10);
  for (const BackendUnderTest& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.label);
    const auto backend = under_test.make(Numerics::kOfficial);
    backend->reserve(nano_config(), kRows);
    BackendMemory memory(*backend);
    const Matrix heads = memory.matrix(q, kHeadDim);
    backend->query_norm_rope(heads, kHeadDim, 1, memory.no_rotation(64, kRows));
    EXPECT_EQ(memory.read(heads), expected);
  }
}

}  // namespace
}  // namespace ft::test
