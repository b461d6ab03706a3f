// A weight matrix in host memory, in its stored format, as a test makes or reads it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace ft::test {

struct HostWeight {
  WeightFormat format = WeightFormat::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> data;
  std::vector<uint8_t> scale;
};

// value[i, j] = 1 where j == i + shift, else 0. kF32, kBF16 or kFp8Block.
HostWeight identity_weight(WeightFormat format, int64_t rows, int64_t cols, int64_t shift = 0);

// All values 0.
HostWeight zero_weight(WeightFormat format, int64_t rows, int64_t cols);

}  // namespace ft::test
