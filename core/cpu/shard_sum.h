// Products whose sums are formed over shards (core/shards.h), panel of outputs by panel of outputs: the partial
// sums of a panel stay in the cache of the thread that adds them up.
#pragma once

#include <cstdint>
#include <span>

#include "core/cpu/linear.h"

namespace ft::cpu {

// y[r, :] = the sum over these shards, as a tree, of what the products give for each, product after product.
struct ShardSumJob {
  std::span<const LinearJob> products;  // of which y, y_stride and partial are set here
  ShardEdges edges;                     // of the shards, in input columns
  Matrix y;
  bool round;             // to bf16
  int64_t panel;          // outputs of a panel
  float* sums = nullptr;  // [threads][y.rows, shards, panel]

  int64_t units() const { return (y.cols + panel - 1) / panel; }
};

// Outputs of a panel: the more the fewer rows there are, so that weights are read in long stretches, but so few that
// every thread gets some.
int64_t shard_sum_panel(int64_t rows, int shards, int64_t outputs, int threads);

// The most that `sums` takes for up to `rows` rows.
int64_t shard_sum_scratch_floats(int64_t rows, int shards, int threads);

// Computes the panels [begin, end).
void shard_sum_units(const ShardSumJob& job, int64_t begin, int64_t end, int thread);

// y[i] = the sum of `shards` partial sums sums[s][i]; null is zeros.
void add_shards(const float* const* sums, int shards, int64_t count, float* y, bool round);

}  // namespace ft::cpu
