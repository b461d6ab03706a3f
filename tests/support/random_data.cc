#include "tests/support/random_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/dtype.h"

namespace ft::test {

std::vector<float> RandomData::values(int64_t count, float deviation) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(engine_) * (engine_() % 64 == 0 ? 8.0f : 1.0f);
  return out;
}

std::vector<float> RandomData::uniform(int64_t count, float low, float high) {
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = distribution(engine_);
  return out;
}

int32_t RandomData::integer(int32_t low, int32_t high) {
  return std::uniform_int_distribution<int32_t>(low, high)(engine_);
}

std::vector<int32_t> RandomData::integers(int64_t count, int32_t low, int32_t high) {
  std::vector<int32_t> out(static_cast<size_t>(count));
  for (int32_t& value : out) value = integer(low, high);
  return out;
}

std::vector<int32_t> RandomData::permutation(int64_t count) {
  std::vector<int32_t> out(static_cast<size_t>(count));
  std::iota(out.begin(), out.end(), 0);
  std::shuffle(out.begin(), out.end(), engine_);
  return out;
}

HostWeight RandomData::weight(WeightFormat format, int64_t rows, int64_t cols) {
  const float deviation = 1.0f / std::sqrt(static_cast<float>(cols));
  std::normal_distribution<float> normal(0.0f, deviation);
  HostWeight weight = zero_weight(format, rows, cols);
  // Around 2^-6 for e4m3 (codes reach 448) and around the deviation for e2m1 (codes reach 6).
  const int exponent = static_cast<int>(std::lround(std::log2(deviation)));
  for (uint8_t& scale : weight.scale) {
    scale =
        static_cast<uint8_t>(127 + exponent - (format == WeightFormat::kFp8Block ? 6 : 1) + integer(-1, 1));
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < cols; ++i) {
      const float value = normal(engine_);
      const int64_t index = r * cols + i;
      switch (format) {
        case WeightFormat::kF32:
          std::memcpy(weight.data.data() + index * 4, &value, 4);
          break;
        case WeightFormat::kBF16: {
          const uint16_t bits = f32_to_bf16(value);
          std::memcpy(weight.data.data() + index * 2, &bits, 2);
          break;
        }
        case WeightFormat::kFp8Block: {
          const float scale = e8m0_to_f32(weight.scale[r / 128 * ((cols + 127) / 128) + i / 128]);
          weight.data[index] = f32_to_e4m3(value / scale);
          break;
        }
        case WeightFormat::kFp4Row: {
          const float scale = e8m0_to_f32(weight.scale[r * (cols / 32) + i / 32]);
          const int code = f32_to_e2m1(value / scale);
          uint8_t& byte = weight.data[index / 2];
          byte = static_cast<uint8_t>(i % 2 == 0 ? byte | code : byte | code << 4);
          break;
        }
      }
    }
  }
  return weight;
}

}  // namespace ft::test
