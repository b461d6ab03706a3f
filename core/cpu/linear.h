// y = x W^T for a few rows against weights as stored; the inner loop of everything in the model.
//
// The order of every sum, the same on every instruction set and for any number of rows and threads:
//   - the columns are cut into blocks of 128, the width of an fp8 scale tile;
//   - each of sixteen lanes sums its eight columns of a block, from zero;
//   - block after block, these sums, times the block's scale, are added to the sixteen lanes of the output;
//   - the lanes are folded in halves (lanes-inl.h).
// A sum over shards (core/shards.h) does this for the columns of each shard, from zero. In the float kernels
// (linear.cc) a lane's sum of a block is a chain of fused multiply-adds: lane l takes columns 2l + 1 and 2l of each
// group of 32, in this order, or columns l and l + 16 where weights are float32. Where fp4 weights meet q8 activations
// it is that of columns 8l to 8l + 7, exact, an integer that is rounded once (linear_codes.cc).
#pragma once

#include <cstdint>

#include "core/cpu/parallel.h"
#include "core/cpu/prepare.h"
#include "core/shards.h"
#include "core/tensor.h"

namespace ft::cpu {

// Outputs computed together; the unit in which a linear is split over threads.
inline constexpr int64_t kTileOutputs = 4;

// What a product adds to sums over shards: of each shard a sum for each output of a panel.
struct PartialSums {
  ShardEdges blocks;         // edges of the shards in blocks of columns
  int64_t first_output = 0;  // of the panel
};

// One product over prepared rows. Outputs are numbered over all groups: output o belongs to group o / n.
struct LinearJob {
  const Weight* weight;
  int64_t groups;
  Prepared x;
  const int32_t* x_rows;  // row r reads row x_rows[r] of x; null = r
  int64_t rows;
  float* y;  // row r writes y + r*y_stride
  int64_t y_stride;
  bool round;  // to bf16
  // Where set, the product is added to sums [rows, shards, y_stride]: output o of row r and shard s to
  // y[(y_rows[r] * shards + s) * y_stride + o - first_output]. y_rows null = r.
  const PartialSums* partial = nullptr;
  const int32_t* y_rows = nullptr;

  int parts() const { return partial != nullptr ? partial->blocks.count : 1; }
  // Where a part of the columns begins, in blocks; edge(parts()) is their number.
  int64_t edge(int part) const {
    return partial != nullptr ? partial->blocks.at[static_cast<size_t>(part)]
                              : part * blocks_of(weight->cols);
  }
  int64_t outputs_per_group() const { return weight->rows / groups; }
  int64_t tiles_per_group() const { return (outputs_per_group() + kTileOutputs - 1) / kTileOutputs; }
  int64_t tiles() const { return groups * tiles_per_group(); }
  int64_t source_row(int64_t row) const { return x_rows != nullptr ? x_rows[row] : row; }
  // Rough nanoseconds on one core.
  int64_t cost() const { return weight->rows * weight->cols * (1 + rows) / 16; }
};

// Computes tiles [begin, end) of the job, for all its rows.
void linear_tiles(const LinearJob& job, int64_t begin, int64_t end);

// The same for fp4 weights and rows that are prepared as codes.
void linear_codes_tiles(const LinearJob& job, int64_t begin, int64_t end);

}  // namespace ft::cpu
