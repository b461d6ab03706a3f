// Linears of numbers as small and as large as float32 has them. What a sum loses there depends on how it is formed, so
// all instruction sets have to form it alike.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include "core/dtype.h"
#include "tests/support/backend_memory.h"
#include "tests/support/backends.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

std::vector<float> product(const BackendUnderTest& under, const HostWeight& weight,
                           const std::vector<float>& x, LinearInput input) {
  const auto backend = under.make(Numerics::kOfficial);
  const auto rows = static_cast<int64_t>(x.size()) / weight.cols;
  ModelConfig config = nano_config();
  config.hidden_size = std::max(weight.cols, weight.rows);
  backend->reserve(config, rows);
  BackendMemory memory(*backend);
  const Matrix y = memory.output(rows, weight.rows);
  backend->linear(memory.matrix(x, weight.cols), memory.weight(weight), y, input, LinearOutput::kF32);
  return memory.read(y);
}

// The products of all backends, of which those of a family are the same.
std::map<std::string, std::vector<float>> products(const HostWeight& weight, const std::vector<float>& x,
                                                   LinearInput input) {
  std::map<std::string, std::vector<float>> families;
  for (const BackendUnderTest& under : backends_under_test()) {
    const std::vector<float> y = product(under, weight, x, input);
    const auto [first, added] = families.emplace(under.family, y);
    if (added) continue;
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(first->second[i]))
          << under.label << " output " << i;
  }
  return families;
}

constexpr int64_t kCols = 416, kOutputs = 37, kRows = 5;

// Products around the smallest normal number, 2^-126: some of them, and some of their sums, are below it.
TEST(LinearExtremes, SmallProductsAreLostAlike) {
  RandomData random(7);
  HostWeight bf16 = random.weight(WeightFormat::kBF16, kOutputs, kCols);
  for (size_t i = 0; i < bf16.data.size(); i += 2) {
    const auto bits = static_cast<uint16_t>((random.integer(0, 1) << 15) | (random.integer(58, 70) << 7) |
                                            random.integer(0, 127));
    std::memcpy(bf16.data.data() + i, &bits, sizeof(bits));
  }
  HostWeight fp8 = random.weight(WeightFormat::kFp8Block, kOutputs, kCols);
  for (const auto& [weight, deviation] : {std::pair{&bf16, 0x1p-63f}, std::pair{&fp8, 0x1p-122f}}) {
    std::vector<float> x = random.values(kRows * kCols, deviation);
    for (float& value : x) value = round_bf16(value);
    const auto families = products(*weight, x, LinearInput::kBF16);
    const std::vector<float>&y = families.at("cpu"), &expected = families.at("reference");
    int64_t some = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      EXPECT_NEAR(y[i], expected[i], kCols * 0x1p-126f + std::abs(expected[i]) * 1e-5f) << i;
      if (y[i] != 0) ++some;
    }
    EXPECT_GT(some, kRows * kOutputs / 2);
  }
}

// Scales of weights that differ by 2^60 within a block, and rows from tiny to huge.
TEST(LinearExtremes, CodesKeepTheirAccuracyAtAnyScale) {
  RandomData random(8);
  HostWeight weight = random.weight(WeightFormat::kFp4Row, kOutputs, kCols);
  for (uint8_t& scale : weight.scale) scale = static_cast<uint8_t>(random.integer(80, 140));
  std::vector<float> x = random.values(kRows * kCols);
  const int exponents[kRows] = {-20, 0, 10, 40, 80};
  for (size_t i = 0; i < x.size(); ++i) x[i] = round_bf16(std::ldexp(x[i], exponents[i / kCols]));
  const auto families = products(weight, x, LinearInput::kQ8);
  HostWeight magnitudes = weight;
  for (uint8_t& codes : magnitudes.data) codes &= 0x77;
  std::vector<float> absolute = x;
  for (float& value : absolute) value = std::abs(value);
  const auto bounds = products(magnitudes, absolute, LinearInput::kQ8);
  for (size_t i = 0; i < x.size() / kCols * kOutputs; ++i)
    EXPECT_NEAR(families.at("cpu")[i], families.at("reference")[i], 1e-6f * bounds.at("reference")[i]) << i;
}

TEST(LinearExtremes, AnInfiniteRowGivesNoFiniteNumber) {
  RandomData random(9);
  for (const WeightFormat format : {WeightFormat::kFp8Block, WeightFormat::kFp4Row}) {
    const HostWeight weight = random.weight(format, kOutputs, kCols);
    std::vector<float> x = random.values(kCols);
    x[200] = std::numeric_limits<float>::infinity();
    for (const BackendUnderTest& under : backends_under_test()) {
      for (const float y : product(under, weight, x, LinearInput::kQ8))
        EXPECT_FALSE(std::isfinite(y)) << under.label;
    }
  }
}

}  // namespace
}  // namespace ft::test
