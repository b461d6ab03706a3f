#include "tests/support/host_weight.h"

#include <cstring>

namespace ft::test {

HostWeight zero_weight(WeightFormat format, int64_t rows, int64_t cols) {
  Weight shape;
  shape.format = format;
  shape.rows = rows;
  shape.cols = cols;
  HostWeight weight{format, rows, cols, {}, {}};
  weight.data.assign(static_cast<size_t>(shape.data_bytes()), 0);
  weight.scale.assign(static_cast<size_t>(shape.scale_bytes()), 127);  // 2^0
  return weight;
}

HostWeight identity_weight(WeightFormat format, int64_t rows, int64_t cols, int64_t shift) {
  HostWeight weight = zero_weight(format, rows, cols);
  for (int64_t i = 0; i < rows && i + shift < cols; ++i) {
    const int64_t index = i * cols + i + shift;
    if (format == WeightFormat::kFp8Block) {
      weight.data[index] = 0x38;  // 1.0 in e4m3
    } else if (format == WeightFormat::kBF16) {
      const uint16_t one = 0x3f80;
      std::memcpy(weight.data.data() + index * 2, &one, sizeof(one));
    } else {
      const float one = 1.0f;
      std::memcpy(weight.data.data() + index * 4, &one, sizeof(one));
    }
  }
  return weight;
}

}  // namespace ft::test
