// Seeded random inputs for op tests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "tests/support/host_weight.h"

namespace ft::test {

class RandomData {
 public:
  explicit RandomData(uint32_t seed) : engine_(seed) {}

  // Gaussian values.
  // A few elements in a hundred are eight times as large, so that groups differ in their scale.
  std::vector<float> values(int64_t count, float deviation = 1.0f);
  std::vector<float> uniform(int64_t count, float low, float high);
  int32_t integer(int32_t low, int32_t high);  // both included
  std::vector<int32_t> integers(int64_t count, int32_t low, int32_t high);
  // 0..count-1 in random order.
  std::vector<int32_t> permutation(int64_t count);
  // A weight whose products with values() of deviation 1 have a deviation of about 1.
  // Scales differ between their blocks.
  HostWeight weight(WeightFormat format, int64_t rows, int64_t cols);

 private:
  std::mt19937 engine_;
};

}  // namespace ft::test
