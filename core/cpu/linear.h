// y = x W^T for a few rows against weights as stored; the inner loop of everything in the model.
#pragma once

#include <cstdint>

#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"
#include "core/tensor.h"

namespace ft::cpu {

// Outputs computed together; the unit in which a linear is split over threads.
inline constexpr int64_t kTileOutputs = 4;

// The order of columns that a format wants in its activations (decode-inl.h).
inline bool wants_paired(WeightFormat format) {
  return format != WeightFormat::kF32;
}

// Columns of a prepared row of `cols` columns: whole groups of 32, the rest zero.
inline int64_t padded_columns(int64_t cols) {
  return (cols + 31) / 32 * 32;
}

// Activations made ready for a weight format: `groups` runs of padded_columns(k) per row, one after another.
// paired: each group of 32 columns holds its even columns, then its odd ones.
// quantize: q8() of the row first.
struct PrepareJob {
  const float* x;
  int64_t x_stride;
  int64_t k;
  int groups;
  bool paired;
  bool quantize;
  float* out;  // [rows, groups * padded_columns(k)]
};
void prepare_rows(const PrepareJob& job, int64_t begin_row, int64_t end_row);

// One product over prepared rows. Outputs are numbered over all groups: output o belongs to group o / n.
struct LinearJob {
  const Weight* weight;
  int64_t groups;
  const float* x;  // prepared rows
  int64_t x_stride;
  const int32_t* x_rows;  // row r reads x + x_rows[r]*x_stride; null = r
  int64_t rows;
  float* y;  // row r writes y + r*y_stride
  int64_t y_stride;
  bool round;  // to bf16

  int64_t outputs_per_group() const { return weight->rows / groups; }
  int64_t tiles() const { return groups * ((outputs_per_group() + kTileOutputs - 1) / kTileOutputs); }
  // Rough nanoseconds on one core.
  int64_t cost() const { return weight->rows * weight->cols * (1 + rows) / 16; }
};

// Computes tiles [begin, end) of the job, for all its rows.
// y[r, o] is the sum over chunks of 1024 columns of:
// lanes of one accumulator per (r, o), filled in column order by fused multiply-adds, then folded.
// Nothing in that depends on the rows of the call or on the tiles asked for.
void linear_tiles(const LinearJob& job, int64_t begin, int64_t end);

}  // namespace ft::cpu
