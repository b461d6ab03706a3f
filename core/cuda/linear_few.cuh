// Products of 1 to 8 rows, as one block of any kernel makes them (linear.cu has the launch of many such blocks).
#pragma once

#include <algorithm>

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/shard_tree.cuh"
#include "core/cuda/weight_tiles.cuh"

namespace ft::cuda {

inline constexpr int kFewThreads = 256;
inline constexpr int kFewWarps = kFewThreads / 32;

// One product as the device sees it.
struct Product {
  const float* x;  // or, for many_kernel, units (see prepare_kernel)
  int64_t x_stride;
  const uint8_t* weight;
  const uint8_t* scale;
  float* y;
  int64_t y_stride;
  int32_t rows;     // of the weight
  int32_t columns;  // of the weight: K
  int32_t group_rows;
  WeightFormat format;
  bool quantize;
  bool round;
  bool tree;        // parts are shards
  ColumnParts cut;  // chunks or shards: a chain of sums each
  int32_t first_block;
};

inline ColumnParts chunks_of(int64_t columns) {
  ColumnParts cut;
  cut.count = chunk_count(columns);
  cut.widest = static_cast<int32_t>(chunk_columns(columns));
  for (int i = 0; i <= cut.count; ++i)
    cut.at[i] = static_cast<int32_t>(std::min<int64_t>(int64_t{i} * cut.widest, columns));
  return cut;
}

inline Product describe(const LinearTask& task) {
  Product p = {};
  p.x = task.x.data;
  p.x_stride = task.x.stride;
  p.weight = static_cast<const uint8_t*>(task.weight.data);
  p.scale = task.weight.scale;
  p.y = task.y.data;
  p.y_stride = task.y.stride;
  p.rows = static_cast<int32_t>(task.weight.rows);
  p.columns = static_cast<int32_t>(task.weight.cols);
  p.group_rows = p.rows / task.groups;
  p.format = task.weight.format;
  p.quantize = task.quantize;
  p.round = task.round;
  p.tree = task.parts.count > 0;
  p.cut = p.tree ? task.parts : chunks_of(task.weight.cols);
  return p;
}

// Weight rows of a block.
inline int few_block_rows(const Product& p) {
  return kFewWarps / p.cut.count * kTileRows;
}

inline size_t few_shared_bytes(const LinearTask& task) {
  return static_cast<size_t>(task.x.rows * unit_stride(task.weight.cols)) * sizeof(uint4);
}

// What the chains of one output make together.
template <WeightFormat kFormat, class Get>
__device__ __forceinline__ float add_chains(const Product& p, Get get) {
  if (p.tree) return tree_sum(p.cut.count, [&](int c) { return get(c) * out_factor<kFormat>(); });
  float sum = get(0);
  for (int c = 1; c < p.cut.count; ++c) sum += get(c);
  return sum * out_factor<kFormat>();
}

// The norm that rows of x go through on their way in; weight null: none.
struct InputNorm {
  const float* weight = nullptr;
  float eps = 0.0f;
};

// Memory of a block beside its units.
struct FewScratch {
  float partial[kFewWarps * kTileRows * kTileColumns];
  float sums[32];
  float factor[kFewRows];
};

// The part of rms_norm that a row has in common: as rms_norm_kernel, whose blocks have as many threads. All threads of
// the block call it; they may call it again after a barrier.
__device__ __forceinline__ float norm_factor(const float* row, int64_t columns, float eps, float* scratch) {
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < columns; i += kFewThreads) squares += row[i] * row[i];
  squares = block_sum(squares, scratch);
  return 1.0f / sqrtf(squares / static_cast<float>(columns) + eps);
}

// The same by one warp, which takes the part of each warp of that block in turn.
__device__ __forceinline__ float warp_norm_factor(const float* row, int64_t columns, float eps) {
  float sum = 0.0f;
  for (int warp = 0; warp < kFewWarps; ++warp) {
    float squares = 0.0f;
    for (int64_t i = warp * 32 + threadIdx.x % 32; i < columns; i += kFewThreads) squares += row[i] * row[i];
    sum += warp_sum(squares);
  }
  return 1.0f / sqrtf(sum / static_cast<float>(columns) + eps);
}

// Rows [block * few_block_rows, ..) of the weight. `units` holds m rows of unit_stride(columns).
template <WeightFormat kFormat>
__device__ void few_block_of(const Product& p, const InputNorm& norm, int block, int m, uint4* units,
                             FewScratch& scratch) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int chunks = p.cut.count;
  const int tiles = kFewWarps / chunks;
  const int chunk = warp % chunks;
  const int64_t first_row = static_cast<int64_t>(block) * tiles * kTileRows;
  const int64_t begin = p.cut.at[chunk];
  const int64_t end = p.cut.at[chunk + 1];

  WeightStream<kFormat, 1, 8> stream;
  stream.start(p.weight, p.scale, p.rows, p.columns, first_row + warp / chunks * kTileRows, begin, end);
  wait_for_previous();

  // Each block makes its own units: at up to 8 rows that costs less than a launch.
  const int row_units = p.columns / 8;
  const int stride = unit_stride(p.columns);
  const float* x = p.x + first_row / p.group_rows * p.columns;
  if (norm.weight != nullptr) {
    static_assert(kFewWarps >= kFewRows);
    if (warp < m) {
      const float factor = warp_norm_factor(x + warp * p.x_stride, p.columns, norm.eps);
      if (lane == 0) scratch.factor[warp] = factor;
    }
    __syncthreads();
  }
  for (int first = warp * 32; first < m * row_units; first += kFewThreads) {
    const int i = min(first + lane, m * row_units - 1);
    const int r = i / row_units;
    const int column = i % row_units * 8;
    const float4* from = reinterpret_cast<const float4*>(x + r * p.x_stride + column);
    const float4 low = from[0];
    const float4 high = from[1];
    float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    if (norm.weight != nullptr) {
#pragma unroll
      for (int j = 0; j < 8; ++j) values[j] = rb(values[j] * scratch.factor[r] * norm.weight[column + j]);
    }
    const uint4 unit = make_unit<kFormat>(values, p.quantize);
    if (first + lane < m * row_units) units[r * stride + unit_place<kFormat>(i % row_units)] = unit;
  }
  __syncthreads();

  const int column = min(lane / 4, m - 1);
  float sums[1][1][4] = {};
  stream.multiply(units + column * stride + begin / 8 + lane % 4, 0, sums);
  float* mine = scratch.partial + warp * kTileRows * kTileColumns;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    mine[(lane % 4 * 2 + i % 2) * kTileRows + lane / 4 + i / 2 * 8] = sums[0][0][i];
  }
  __syncthreads();

  const int block_rows = tiles * kTileRows;
  for (int i = static_cast<int>(threadIdx.x); i < block_rows * m; i += kFewThreads) {
    const int row = i % block_rows;
    const int r = i / block_rows;
    if (first_row + row >= p.rows) continue;
    const float* tile = scratch.partial + row / kTileRows * chunks * kTileRows * kTileColumns +
                        r * kTileRows + row % kTileRows;
    const float sum = add_chains<kFormat>(p, [&](int c) { return tile[c * kTileRows * kTileColumns]; });
    p.y[r * p.y_stride + first_row + row] = p.round ? rb(sum) : sum;
  }
}

__device__ __forceinline__ void few_block(const Product& p, const InputNorm& norm, int block, int m,
                                          uint4* units, FewScratch& scratch) {
  switch (p.format) {
    case WeightFormat::kFp8Block:
      few_block_of<WeightFormat::kFp8Block>(p, norm, block, m, units, scratch);
      break;
    case WeightFormat::kFp4Row:
      few_block_of<WeightFormat::kFp4Row>(p, norm, block, m, units, scratch);
      break;
    default:
      few_block_of<WeightFormat::kBF16>(p, norm, block, m, units, scratch);
      break;
  }
}

}  // namespace ft::cuda
