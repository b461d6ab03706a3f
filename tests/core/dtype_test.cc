#include "core/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/safetensors.h"

namespace ft {
namespace {

// The tables the reference code uses (goldens/ops).
class FormatTables : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = SafetensorsFile::open(FT_TEST_DATA "/goldens/ops/ops.safetensors");
    ASSERT_TRUE(opened) << opened.error().message;
    file_ = std::move(*opened);
  }

  template <class Element>
  std::vector<Element> table(const char* name) {
    const StoredTensor* tensor = file_->find(name);
    EXPECT_NE(tensor, nullptr) << name;
    if (tensor == nullptr) return {};
    EXPECT_EQ(byte_size(tensor->dtype), static_cast<int>(sizeof(Element)));
    std::vector<Element> values(static_cast<size_t>(tensor->size()));
    std::memcpy(values.data(), tensor->data, static_cast<size_t>(tensor->bytes));
    return values;
  }

 private:
  std::unique_ptr<SafetensorsFile> file_;
};

TEST_F(FormatTables, E4m3DecodesAllCodes) {
  const auto expected = table<float>("fmt.e4m3_table");
  ASSERT_EQ(expected.size(), 256u);
  for (int code = 0; code < 256; ++code) {
    const float value = e4m3_to_f32(static_cast<uint8_t>(code));
    if (std::isnan(expected[code])) {
      EXPECT_TRUE(std::isnan(value)) << code;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected[code])) << code;
    }
  }
}

TEST_F(FormatTables, E2m1DecodesAllCodes) {
  const auto expected = table<float>("fmt.e2m1_table");
  ASSERT_EQ(expected.size(), 16u);
  for (int code = 0; code < 16; ++code) {
    EXPECT_EQ(std::bit_cast<uint32_t>(e2m1_to_f32(static_cast<uint8_t>(code))),
              std::bit_cast<uint32_t>(expected[code]))
        << code;
  }
}

TEST_F(FormatTables, E8m0DecodesAllCodes) {
  const auto expected = table<double>("fmt.e8m0_table");
  ASSERT_EQ(expected.size(), 256u);
  for (int code = 0; code < 255; ++code) {
    EXPECT_EQ(static_cast<double>(e8m0_to_f32(static_cast<uint8_t>(code))), expected[code]) << code;
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

TEST_F(FormatTables, WeightsOfTheGoldensDequantiseExactly) {
  for (const std::string kind : {"aligned", "ragged"}) {
    const auto codes = table<uint8_t>(("fp8_dequant." + kind + ".weight").c_str());
    const auto scales = table<uint8_t>(("fp8_dequant." + kind + ".scale").c_str());
    const auto expected = table<float>(("fp8_dequant." + kind + ".out").c_str());
    const size_t cols = kind == "aligned" ? 384 : 320;
    for (size_t i = 0; i < codes.size(); ++i) {
      const size_t tile = (i / cols) / 128 * ((cols + 127) / 128) + (i % cols) / 128;
      ASSERT_EQ(e4m3_to_f32(codes[i]) * e8m0_to_f32(scales[tile]), expected[i]) << kind << " " << i;
    }
  }
  const auto codes = table<uint8_t>("fp4_dequant.weight");
  const auto scales = table<uint8_t>("fp4_dequant.scale");
  const auto expected = table<float>("fp4_dequant.out");
  ASSERT_EQ(expected.size(), codes.size() * 2);
  for (size_t i = 0; i < expected.size(); ++i) {
    const uint8_t pair = codes[i / 2];
    const auto code = static_cast<uint8_t>(i % 2 == 0 ? pair & 15 : pair >> 4);
    ASSERT_EQ(e2m1_to_f32(code) * e8m0_to_f32(scales[i / 32]), expected[i]) << i;
  }
}

TEST(E8m0, EndsOfTheRange) {
  EXPECT_EQ(e8m0_to_f32(0), std::ldexp(1.0f, -127));
  EXPECT_EQ(std::fpclassify(e8m0_to_f32(0)), FP_SUBNORMAL);
  EXPECT_EQ(e8m0_to_f32(127), 1.0f);
  EXPECT_EQ(e8m0_to_f32(254), std::ldexp(1.0f, 127));
}

TEST(Exp2Int, EveryExponent) {
  for (int exponent = -160; exponent <= 140; ++exponent) {
    EXPECT_EQ(exp2_int(exponent), std::ldexp(1.0f, exponent)) << exponent;
  }
}

TEST(CeilLog2, PowersStayAndEverythingAboveRoundsUp) {
  for (int exponent = -126; exponent <= 126; ++exponent) {
    const float power = std::ldexp(1.0f, exponent);
    EXPECT_EQ(ceil_log2(power), exponent);
    EXPECT_EQ(ceil_log2(std::nextafter(power, INFINITY)), exponent + 1);
    EXPECT_EQ(ceil_log2(std::nextafter(2.0f * power, 0.0f)), exponent + 1);
  }
}

// The code in [0, last] whose value is nearest to |value|, ties to the even code: by search, not by bits.
template <class Decode>
uint8_t nearest_code(double magnitude, int last, Decode decode) {
  magnitude = std::min(magnitude, decode(last));  // saturate first: far away, all distances round to the same
  int best = 0;
  for (int code = 1; code <= last; ++code) {
    const double nearer = std::abs(decode(code) - magnitude);
    const double best_distance = std::abs(decode(best) - magnitude);
    if (nearer < best_distance || (nearer == best_distance && code % 2 == 0)) best = code;
  }
  return static_cast<uint8_t>(best);
}

uint8_t nearest_e4m3(float value) {
  const auto decode = [](int code) { return static_cast<double>(e4m3_to_f32(static_cast<uint8_t>(code))); };
  const uint8_t code = nearest_code(std::abs(static_cast<double>(value)), 0x7e, decode);
  return static_cast<uint8_t>(code | (std::signbit(value) ? 0x80 : 0));
}

uint8_t nearest_e2m1(float value) {
  const auto decode = [](int code) { return static_cast<double>(e2m1_to_f32(static_cast<uint8_t>(code))); };
  const uint8_t code = nearest_code(std::abs(static_cast<double>(value)), 7, decode);
  return static_cast<uint8_t>(code | (std::signbit(value) ? 8 : 0));
}

// Each finite code's value, the midpoint to the next one, and the floats beside both.
template <class Decode, class Check>
void around_codes(int last, Decode decode, Check check) {
  for (int code = 0; code <= last; ++code) {
    const float value = decode(static_cast<uint8_t>(code));
    const float next = code < last ? decode(static_cast<uint8_t>(code + 1)) : 2.0f * value;
    const float middle = (value + next) / 2.0f;  // exact: few significant bits
    for (float point : {value, middle}) {
      for (float probe : {std::nextafter(point, -INFINITY), point, std::nextafter(point, INFINITY)}) {
        check(probe);
        check(-probe);
      }
    }
  }
}

TEST(E4m3, EveryCodeRoundTrips) {
  for (int code = 0; code < 256; ++code) {
    if ((code & 0x7f) == 0x7f) continue;
    EXPECT_EQ(f32_to_e4m3(e4m3_to_f32(static_cast<uint8_t>(code))), code);
  }
  EXPECT_EQ(f32_to_e4m3(NAN) & 0x7f, 0x7f);
  EXPECT_EQ(f32_to_e4m3(INFINITY), 0x7e);
  EXPECT_EQ(f32_to_e4m3(-INFINITY), 0xfe);
  EXPECT_EQ(f32_to_e4m3(464.0f), 0x7e);  // where an unbounded format would round up
  EXPECT_EQ(f32_to_e4m3(1e30f), 0x7e);
}

TEST(E4m3, RoundsToNearestEven) {
  const auto check = [](float value) { ASSERT_EQ(f32_to_e4m3(value), nearest_e4m3(value)) << value; };
  around_codes(0x7e, e4m3_to_f32, check);
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {  // every finite bf16: this is what the model quantises
    check(bf16_to_f32(static_cast<uint16_t>(bits)));
    check(bf16_to_f32(static_cast<uint16_t>(bits | 0x8000)));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 50'000; ++i) {  // magnitudes from 2^-12 to 2^10
    const auto exponent = static_cast<int>(random() % 22) - 12;
    check(std::ldexp(1.0f + static_cast<float>(random() >> 9) * 0x1p-23f, exponent));
  }
}

TEST(E2m1, TiesGoToTheEvenCode) {
  const std::pair<float, float> ties[] = {{0.25f, 0.0f}, {0.75f, 1.0f}, {1.25f, 1.0f}, {1.75f, 2.0f},
                                          {2.5f, 2.0f},  {3.5f, 4.0f},  {5.0f, 4.0f}};
  for (const auto& [value, rounded] : ties) {
    EXPECT_EQ(e2m1_to_f32(f32_to_e2m1(value)), rounded) << value;
    EXPECT_EQ(e2m1_to_f32(f32_to_e2m1(-value)), -rounded) << -value;
  }
}

TEST(E2m1, RoundsToNearestEven) {
  const auto check = [](float value) { ASSERT_EQ(f32_to_e2m1(value), nearest_e2m1(value)) << value; };
  around_codes(7, e2m1_to_f32, check);
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    check(bf16_to_f32(static_cast<uint16_t>(bits)));
    check(bf16_to_f32(static_cast<uint16_t>(bits | 0x8000)));
  }
  EXPECT_EQ(f32_to_e2m1(INFINITY), 7);
}

TEST(Bf16, EveryValueRoundTrips) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = bf16_to_f32(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
    } else {
      ASSERT_EQ(f32_to_bf16(value), half);
    }
  }
}

TEST(Bf16, RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {  // up to the largest finite value
    const uint32_t low = bits << 16;
    const auto even = static_cast<uint16_t>(bits + (bits & 1));
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low + 0x7fff)), bits);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low + 0x8000)), even);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low + 0x8001)), bits + 1);
    ASSERT_EQ(f32_to_bf16(-std::bit_cast<float>(low + 0x8000)), even | 0x8000);
  }
  EXPECT_TRUE(std::isinf(round_bf16(std::numeric_limits<float>::max())));
  EXPECT_TRUE(
      std::isnan(round_bf16(std::bit_cast<float>(0x7f800001u))));  // a payload that rounding would lose
}

TEST(DType, NamesAndSizesBelongTogether) {
  const std::tuple<DType, const char*, int> expected[] = {
      {DType::kF32, "F32", 4},      {DType::kBF16, "BF16", 2}, {DType::kE4M3, "F8_E4M3", 1},
      {DType::kE8M0, "F8_E8M0", 1}, {DType::kI8, "I8", 1},     {DType::kI32, "I32", 4},
      {DType::kI64, "I64", 8},      {DType::kF64, "F64", 8},
  };
  for (const auto& [dtype, name, bytes] : expected) {
    EXPECT_EQ(safetensors_name(dtype), name);
    EXPECT_EQ(byte_size(dtype), bytes);
  }
}

}  // namespace
}  // namespace ft
