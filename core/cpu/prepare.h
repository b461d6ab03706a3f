// Activations made ready for products: cut into blocks of 128 columns, and in the order in which the columns
// of a weight format fall apart when they are decoded (decode-inl.h, linear_codes.cc).
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace ft::cpu {

inline constexpr int64_t kBlockColumns = 128;

inline int64_t blocks_of(int64_t columns) {
  return (columns + kBlockColumns - 1) / kBlockColumns;
}

// Columns of a prepared row of `columns`: whole blocks.
inline int64_t padded_columns(int64_t columns) {
  return blocks_of(columns) * kBlockColumns;
}

// Rows as float32: column c of block b of row r is data[r * row_stride + b * block_stride + c], where each
// group of 32 columns may be in paired order. Columns behind the last are zero up to a multiple of 32.
struct FloatRows {
  const float* data = nullptr;
  int64_t row_stride = 0;
  int64_t block_stride = 0;

  FloatRows from_row(int64_t row) const { return {data + row * row_stride, row_stride, block_stride}; }
};

// A block of a row as q8() leaves it, in integers: the value of a column is (8 * coarse + fine) * 2^-9 * scale, with
// |coarse| <= 28672 and fine from 0 to 7. `fine` is 0 throughout most blocks, and `has_fine` says where it is not.
// Columns are in the order of code_column().
struct alignas(64) CodeBlock {
  int16_t coarse[kBlockColumns];
  float scale;
  bool has_fine;
  alignas(64) int16_t fine[kBlockColumns];
};

// Block b of row r is data[b * rows + r].
struct CodeRows {
  const CodeBlock* data = nullptr;
  int64_t rows = 0;

  CodeRows from_row(int64_t row) const { return {data + row, rows}; }
};

// Which column of its group of 32 stands at place i of the group: the even columns of the first sixteen, then
// the odd ones, then the same of the second sixteen.
constexpr int code_column(int i) {
  return i / 16 * 16 + i % 8 * 2 + i / 8 % 2;
}

// In one of the two forms.
struct Prepared {
  FloatRows floats;
  CodeRows codes;

  Prepared from_row(int64_t row) const {
    return codes.data != nullptr ? Prepared{{}, codes.from_row(row)} : Prepared{floats.from_row(row), {}};
  }
};

// The order of columns that a format wants of float32 rows: each group of 32 as its even columns, then its
// odd ones. Float32 weights stay in order.
inline bool wants_paired(WeightFormat format) {
  return format != WeightFormat::kF32;
}

// How rows are made ready, and where. Rows are independent.
struct PrepareJob {
  Matrix x;                 // [rows, groups * k]
  int64_t k;                // columns of each group
  int groups;               // cut into blocks one by one
  bool paired;              // of floats
  bool quantize;            // q8() first; codes always are
  float* floats = nullptr;  // [groups * blocks_of(k), rows, 128]
  // As codes (groups is 1): [blocks_of(k), rows]. With neither these nor floats, x is ready as it is.
  CodeBlock* codes = nullptr;

  Prepared prepared() const {
    if (codes != nullptr) return {{}, {codes, x.rows}};
    if (floats != nullptr) return {{floats, kBlockColumns, x.rows * kBlockColumns}, {}};
    return {{x.data, x.stride, kBlockColumns}, {}};
  }
};
void prepare_rows(const PrepareJob& job, int64_t begin_row, int64_t end_row);

}  // namespace ft::cpu
