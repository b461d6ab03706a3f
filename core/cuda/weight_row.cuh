// Weights element by element, in every stored format: for the exact numerics and for shapes that fit no tile.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/tensor.h"

namespace ft::cuda {

// W[row, column] of a weight with `columns` columns.
template <WeightFormat kFormat>
__device__ __forceinline__ float weight_at(const uint8_t* data, const uint8_t* scale, int64_t columns,
                                           int64_t row, int64_t column) {
  const int64_t at = row * columns + column;
  if constexpr (kFormat == WeightFormat::kF32) return __ldg(reinterpret_cast<const float*>(data) + at);
  if constexpr (kFormat == WeightFormat::kBF16)
    return bf16_to_f32(__ldg(reinterpret_cast<const uint16_t*>(data) + at));
  if constexpr (kFormat == WeightFormat::kFp8Block) {
    const uint8_t byte = __ldg(scale + row / 128 * ((columns + 127) / 128) + column / 128);
    return e4m3_to_f32(__ldg(data + at)) * e8m0_to_f32(byte);
  }
  if constexpr (kFormat == WeightFormat::kFp4Row) {
    const uint8_t code = __ldg(data + at / 2) >> (column % 2 * 4) & 15;
    return e2m1_to_f32(code) * e8m0_to_f32(__ldg(scale + at / 32));
  }
}

// Columns [begin, end).
struct ColumnRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// sums[r] = W[row, range] . x[r][range], for kRows vectors, by one warp; every lane gets them.
template <WeightFormat kFormat, int kRows>
__device__ void dot_rows(const uint8_t* data, const uint8_t* scale, int64_t columns, int64_t row,
                         ColumnRange range, const float* const (&x)[kRows], float (&sums)[kRows]) {
  for (int r = 0; r < kRows; ++r) sums[r] = 0.0f;
  for (int64_t k = range.begin + threadIdx.x % 32; k < range.end; k += 32) {
    const float weight = weight_at<kFormat>(data, scale, columns, row, k);
#pragma unroll
    for (int r = 0; r < kRows; ++r) sums[r] += weight * x[r][k];
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = warp_sum(sums[r]);
}

// Calls f with the format as a compile-time constant.
template <class F>
__device__ void with_format(WeightFormat format, F f) {
  switch (format) {
    case WeightFormat::kF32:
      f.template operator()<WeightFormat::kF32>();
      break;
    case WeightFormat::kBF16:
      f.template operator()<WeightFormat::kBF16>();
      break;
    case WeightFormat::kFp8Block:
      f.template operator()<WeightFormat::kFp8Block>();
      break;
    case WeightFormat::kFp4Row:
      f.template operator()<WeightFormat::kFp4Row>();
      break;
  }
}

}  // namespace ft::cuda
