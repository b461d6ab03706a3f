// Views of tensors that somebody else owns: float32 activations and weights in their stored format.
// A pointer is an address of the backend that made it; only that backend's ops may follow it.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace ft {

// Row-major float32 [rows, cols]; consecutive rows are `stride` elements apart.
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  Matrix() = default;
  Matrix(float* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  Matrix(float* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}

  float* row(int64_t index) const { return data + index * stride; }
};

// How the elements of a weight matrix are stored.
enum class WeightFormat : uint8_t {
  kF32,       // float32
  kBF16,      // bfloat16
  kFp8Block,  // e4m3, one ue8m0 scale per 128x128 tile: scale[ceil(rows/128), ceil(cols/128)]
  kFp4Row,    // two e2m1 codes a byte along cols (low nibble = even column), one ue8m0 scale per 32 columns:
              // scale[rows, cols/32]
};

// A linear weight [rows = outputs, cols = inputs], contiguous,
// as stored in the checkpoint (docs/spec/model.md 2.1), or the rows or columns of it that a rank owns.
struct Weight {
  WeightFormat format = WeightFormat::kF32;
  const void* data = nullptr;
  const uint8_t* scale = nullptr;  // null unless the format has scales
  int64_t rows = 0;
  int64_t cols = 0;
  // Where these rows and columns lie in the stored matrix, and its size; 0 where nothing is missing. A part begins at
  // a multiple of 128 and ends at one or with the matrix, so that it has scales of its own (core/shards.h).
  int64_t first_row = 0;
  int64_t first_col = 0;
  int64_t whole_rows = 0;
  int64_t whole_cols = 0;

  int64_t all_rows() const { return whole_rows > 0 ? whole_rows : rows; }
  int64_t all_cols() const { return whole_cols > 0 ? whole_cols : cols; }
  explicit operator bool() const { return data != nullptr; }
  int64_t data_bytes() const {
    const int64_t count = rows * cols;
    switch (format) {
      case WeightFormat::kF32:
        return count * 4;
      case WeightFormat::kBF16:
        return count * 2;
      case WeightFormat::kFp8Block:
        return count;
      case WeightFormat::kFp4Row:
        return count / 2;
    }
    return 0;
  }
  int64_t scale_bytes() const {
    switch (format) {
      case WeightFormat::kFp8Block:
        return ((rows + 127) / 128) * ((cols + 127) / 128);
      case WeightFormat::kFp4Row:
        return rows * (cols / 32);
      default:
        return 0;
    }
  }
};

// A vector of float32 parameters. Norm weights stored as bf16 are widened to float32 at load (exact).
struct Vector {
  const float* data = nullptr;
  int64_t size = 0;

  explicit operator bool() const { return data != nullptr; }
};

}  // namespace ft
