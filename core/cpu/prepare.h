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

// Rows of bfloat16 numbers as such, laid out like FloatRows and in order. Columns behind the last are zero up to whole
// blocks.
struct Bf16Rows {
  const uint16_t* data = nullptr;
  int64_t row_stride = 0;
  int64_t block_stride = 0;

  Bf16Rows from_row(int64_t row) const { return {data + row * row_stride, row_stride, block_stride}; }
};

// A block of a row as q8() leaves it, in integers: the value of a column is (8 * coarse + fine) * 2^-9 times the scale
// of the row's block, with |coarse| <= 28672 and fine from 0 to 7. Column 4w + s stands at place 32s + w.
//
// Products of coarse with twice the weights count 2^-7 * scale. Most blocks are plain: nothing is fine, and this is at
// most 1, so that it lowers the exponents of the weights' scales. In others, 8 * coarse + fine counts fine_factor
// times what lowered scales give.
struct alignas(64) CodeBlock {
  int16_t coarse[kBlockColumns];
  uint32_t lowered;  // exponent bits of a float
  float fine_factor;
  bool is_plain;
  alignas(64) int16_t fine[kBlockColumns];
};

// Block b of row r is data[b * rows + r].
struct CodeRows {
  const CodeBlock* data = nullptr;
  int64_t rows = 0;

  CodeRows from_row(int64_t row) const { return {data + row, rows}; }
};

// In one of the forms.
struct Prepared {
  FloatRows floats;
  Bf16Rows bf16;
  CodeRows codes;

  Prepared from_row(int64_t row) const {
    if (codes.data != nullptr) return {{}, {}, codes.from_row(row)};
    if (bf16.data != nullptr) return {{}, bf16.from_row(row), {}};
    return {floats.from_row(row), {}, {}};
  }
};

// The order of columns that a format wants of float32 rows: each group of 32 as its odd columns, then its even ones.
// Float32 weights stay in order.
inline bool wants_paired(WeightFormat format) {
  return format != WeightFormat::kF32;
}

// Rows in memory where there are `rows`: an odd number, so that the blocks of one row, which are read one after the
// other, spread over all places of the first cache. Sixteen rows would put them all on the same few.
inline int64_t stored_rows(int64_t rows) {
  return rows | 1;
}

// How rows are made ready, and where. Rows are independent.
struct PrepareJob {
  Matrix x;       // [rows, groups * k]
  int64_t k;      // columns of each group
  int groups;     // cut into blocks one by one
  bool paired;    // of floats
  bool quantize;  // q8() first; codes always are
  // One of these, with room for stored_rows(). With none of them, x is ready as it is.
  float* floats = nullptr;     // [groups * blocks_of(k), stored rows, 128]
  uint16_t* bf16 = nullptr;    // the same; x holds bfloat16 numbers
  CodeBlock* codes = nullptr;  // [blocks_of(k), stored rows]; groups is 1

  Prepared prepared() const {
    const int64_t stored = stored_rows(x.rows);
    if (codes != nullptr) return {{}, {}, {codes, stored}};
    if (bf16 != nullptr) return {{}, {bf16, kBlockColumns, stored * kBlockColumns}, {}};
    if (floats != nullptr) return {{floats, kBlockColumns, stored * kBlockColumns}, {}, {}};
    return {{x.data, x.stride, kBlockColumns}, {}, {}};
  }
};
void prepare_rows(const PrepareJob& job, int64_t begin_row, int64_t end_row);

}  // namespace ft::cpu
