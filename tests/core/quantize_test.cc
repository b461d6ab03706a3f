// The shared quantisers against golden codes, scales and values: bit for bit.
#include "core/quantize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/golden_file.h"

namespace ft::test {
namespace {

const GoldenFile& goldens() {
  static const GoldenFile file(FT_TEST_DATA "/goldens/ops/ops.safetensors");
  return file;
}

void check_e4m3(int64_t group, const std::string& name) {
  const auto x = goldens().floats("act_quant.x");
  const auto codes = goldens().bytes(name + ".codes");
  const auto scales = goldens().floats(name + ".scale");
  const auto dequantised = goldens().floats(name + ".dequant_bf16");
  const auto count = static_cast<int64_t>(x.size());
  for (int64_t start = 0; start < count; start += group) {
    const int exponent = q8_exponent(max_abs(x.data() + start, group));
    EXPECT_EQ(exp2_int(exponent), scales[start / group]) << "group at " << start;
    for (int64_t i = start; i < start + group; ++i) {
      EXPECT_EQ(f32_to_e4m3(x[i] * exp2_int(-exponent)), codes[i]) << "element " << i;
    }
  }
  const int64_t cols = goldens().shape("act_quant.x")[1];
  auto values = x;
  for (int64_t row = 0; row < count; row += cols) quantize_e4m3(values.data() + row, cols, group);
  EXPECT_TRUE(near_golden(values, dequantised, 0.0, 0.0));
}

TEST(Quantize, E4m3InGroupsOf128) {
  check_e4m3(kQ8Group, "act_quant.b128.ue8m0");
}

TEST(Quantize, E4m3InGroupsOf64) {
  check_e4m3(kQ8SimGroup, "act_quant.b64.ue8m0");
}

TEST(Quantize, E2m1InGroupsOf32) {
  auto x = goldens().floats("fp4_act_quant.x");
  for (size_t row = 0; row < x.size(); row += 128) q4sim(x.data() + row, 128);
  EXPECT_TRUE(near_golden(x, goldens().floats("fp4_act_quant.dequant_bf16"), 0.0, 0.0));
}

TEST(Quantize, ShortLastGroupHasItsOwnScale) {
  std::vector<float> x(192, 1.0f);
  for (size_t i = 128; i < x.size(); ++i) x[i] = 1e-3f;
  q8(x.data(), 192);
  EXPECT_EQ(x[0], 1.0f);
  // 1e-3 / 448 rounds up to 2^-18; the e4m3 value next to 1e-3 * 2^18 = 262.1 is 256.
  EXPECT_EQ(x[191], 256.0f * exp2_int(-18));
}

TEST(Quantize, PowersOfTwoDoNotMoveToTheNextScale) {
  for (int exponent = -10; exponent < 20; ++exponent) {
    const float amax = 448.0f * exp2_int(exponent);
    EXPECT_EQ(q8_exponent(amax), exponent);
    EXPECT_EQ(q8_exponent(std::nextafter(amax, HUGE_VALF)), exponent + 1);
    EXPECT_EQ(q4_exponent(6.0f * exp2_int(exponent)), exponent);
    EXPECT_EQ(q4_exponent(std::nextafter(6.0f * exp2_int(exponent), HUGE_VALF)), exponent + 1);
  }
}

TEST(Quantize, FloorsOfTheScales) {
  EXPECT_EQ(q8_exponent(0.0f), q8_exponent(1e-4f));
  EXPECT_EQ(q8_exponent(1e-4f), -22);
  EXPECT_EQ(q4_exponent(0.0f), -126);
  float zeros[128] = {};
  q8(zeros, 128);
  q4sim(zeros, 128);
  for (const float zero : zeros) EXPECT_EQ(zero, 0.0f);
}

TEST(Quantize, LargeAndInfiniteInputsStayDefined) {
  float x[32] = {3e38f, -3e38f, 1.0f};
  q8(x, 32);
  EXPECT_TRUE(std::isfinite(x[0]));
  EXPECT_EQ(x[1], -x[0]);
  EXPECT_EQ(x[2], 0.0f);
}

TEST(Quantize, TiesGoToTheEvenCode) {
  // With 6 in the group the scale is 1.
  float x[32] = {6.0f, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, -0.25f, -5.0f};
  q4sim(x, 32);
  const float expected[] = {6.0f, 0.0f, 1.0f, 1.0f, 2.0f, 2.0f, 4.0f, 4.0f, 0.0f, -4.0f};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(x[i], expected[i]) << i;
}

TEST(Quantize, HadamardIsSylvesterOrder) {
  const auto x = goldens().floats("hadamard.x");
  for (size_t row = 0; row < x.size(); row += 128) {
    std::vector<float> single(x.begin() + static_cast<int64_t>(row),
                              x.begin() + static_cast<int64_t>(row) + 128);
    std::vector<double> sum(128, 0.0);
    for (unsigned j = 0; j < 128; ++j) {
      for (unsigned i = 0; i < 128; ++i) {
        sum[j] += (std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0) * single[i] / std::sqrt(128.0);
      }
    }
    hadamard(single.data(), 128);
    for (unsigned j = 0; j < 128; ++j)
      EXPECT_NEAR(single[j], sum[j], 1e-5) << "row at " << row << " element " << j;
  }
}

}  // namespace
}  // namespace ft::test
