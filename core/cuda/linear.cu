// y = x W^T by tensor core (official numerics), for weights that are read once at the speed of the memory.
//
// Two kernels with the same sums (weight_tiles.cuh), so that a row's bits do not tell which one made them:
//   few   1..8 rows: the warps of a block take the chunks of the same weight rows; up to ten weights share a launch
//   many  9 rows and more, 64 at a time: the blocks of a cluster take the chunks, a block has 128 weight rows
#include <cooperative_groups.h>

#include <algorithm>

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/linear_few.cuh"

namespace ft::cuda {

namespace {

namespace cg = cooperative_groups;

constexpr int kManyRows = 128;   // of the weight, per block
constexpr int kManyColumns = 8;  // column tiles at most: 64 rows
constexpr size_t kSharedLimit = 200 * 1024;

struct Products {
  Product product[kLinearTasks];
  int32_t count;
  int32_t m;
};

__global__ void __launch_bounds__(kFewThreads, 2) few_kernel(const __grid_constant__ Products products) {
  auto* const units = dynamic_shared<uint4>();
  __shared__ FewScratch scratch;
  int index = 0;
  while (index + 1 < products.count &&
         static_cast<int>(blockIdx.x) >= products.product[index + 1].first_block)
    ++index;
  const Product& p = products.product[index];
  few_block(p, InputNorm(), static_cast<int>(blockIdx.x) - p.first_block, products.m, units, scratch);
}

// Rows of x as units in global memory: out[r][group][place]. One thread per unit.
template <WeightFormat kFormat>
__global__ void __launch_bounds__(256) prepare_kernel(Matrix x, int32_t columns, bool quantize, uint4* out) {
  const int64_t row_units = x.cols / 8;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  wait_for_previous();
  const int64_t at = min(i, x.rows * row_units - 1);
  const int64_t r = at / row_units;
  const int unit = static_cast<int>(at % row_units);
  const float4* from = reinterpret_cast<const float4*>(x.data + r * x.stride + unit * 8);
  const float4 low = from[0];
  const float4 high = from[1];
  float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  const uint4 made = make_unit<kFormat>(values, quantize);
  const int group_units = columns / 8;
  if (i == at) {
    out[r * row_units + unit / group_units * group_units + unit_place<kFormat>(unit % group_units)] = made;
  }
}

// How a block of `many` is made of warps. A unit of x is read from shared memory once for all tiles of a warp, which is
// what bounds fp8 weights from 16 rows on: there a warp has four. Its registers hold the sums (kTiles * kColumns * 4 of
// a lane) and as many steps of the weight ahead as go beside them (kTiles * 8 each).
template <WeightFormat kFormat, int kColumns>
struct ManyShape {
  static constexpr bool kFp8 = kFormat == WeightFormat::kFp8Block;
  static constexpr int kTiles = kFp8 ? 4 : 2;
  static constexpr int kAhead = kFp8 && kColumns == 8 ? 1 : 2;
  static constexpr int kThreads = kManyRows / (kTiles * kTileRows) * 32;
};

// Rows [first_row, first_row + m) of x, m <= 8 * kColumns. A cluster has one block per chunk.
template <WeightFormat kFormat, int kColumns>
__global__ void __launch_bounds__(ManyShape<kFormat, kColumns>::kThreads)
    many_kernel(const __grid_constant__ Product p, int first_row, int m) {
  using Shape = ManyShape<kFormat, kColumns>;
  constexpr int kManyTiles = Shape::kTiles;
  constexpr int kManyThreads = Shape::kThreads;
  auto* const shared = dynamic_shared<uint4>();
  cg::cluster_group cluster = cg::this_cluster();
  const int chunks = p.cut.count;
  const int chunk = static_cast<int>(blockIdx.x) % chunks;
  const int64_t weight_row = static_cast<int64_t>(blockIdx.x) / chunks * kManyRows;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t begin = p.cut.at[chunk];
  const int64_t end = p.cut.at[chunk + 1];

  WeightStream<kFormat, kManyTiles, Shape::kAhead> stream;
  stream.start(p.weight, p.scale, p.rows, p.columns, weight_row + warp * kManyTiles * kTileRows, begin, end);
  wait_for_previous();

  const int chunk_units = static_cast<int>(end - begin) / 8;
  const int stride = unit_stride(p.cut.widest);
  const uint4* x =
      reinterpret_cast<const uint4*>(p.x) + weight_row / p.group_rows * (p.columns / 8) + begin / 8;
  for (int i = static_cast<int>(threadIdx.x); i < m * chunk_units; i += kManyThreads) {
    const int r = i / chunk_units;
    shared[r * stride + i % chunk_units] = x[(first_row + r) * (p.x_stride / 8) + i % chunk_units];
  }
  __syncthreads();

  // Rows from m on are whatever the memory holds; so are their sums, which nobody uses.
  float sums[kManyTiles][kColumns][4] = {};
  stream.multiply(shared + lane / 4 * stride + lane % 4, kTileColumns * stride, sums);
  __syncthreads();  // the units are read: their memory takes the sums, [8 * kColumns][kManyRows]
  float* partial = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int tile = 0; tile < kManyTiles; ++tile) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = (warp * kManyTiles + tile) * kTileRows + lane / 4 + i / 2 * 8;
        partial[(c * kTileColumns + lane % 4 * 2 + i % 2) * kManyRows + row] = sums[tile][c][i];
      }
    }
  }
  cluster.sync();
  const int share = kManyRows / chunks;
  for (int i = static_cast<int>(threadIdx.x); i < share * m; i += kManyThreads) {
    const int row = chunk * share + i % share;
    const int r = i / share;
    const float sum = add_chains<kFormat>(
        p, [&](int other) { return cluster.map_shared_rank(partial, other)[r * kManyRows + row]; });
    if (weight_row + row < p.rows)
      p.y[(first_row + r) * p.y_stride + weight_row + row] = p.round ? rb(sum) : sum;
  }
  cluster.sync();
}

template <WeightFormat kFormat, int kColumns>
void launch_many(Queue queue, const Product& p, int first_row, int m) {
  const unsigned chunks = static_cast<unsigned>(p.cut.count);
  const size_t units =
      static_cast<size_t>(kTileColumns * kColumns * unit_stride(p.cut.widest)) * sizeof(uint4);
  const size_t sums = static_cast<size_t>(kTileColumns * kColumns * kManyRows) * sizeof(float);
  launch(queue, many_kernel<kFormat, kColumns>, dim3(ceil_div(p.rows, kManyRows) * chunks),
         ManyShape<kFormat, kColumns>::kThreads, std::max(units, sums), chunks, p, first_row, m);
}

template <WeightFormat kFormat>
void prepare_input_as(Queue queue, const LinearTask& task, void* prepared) {
  const int64_t units = task.x.rows * task.x.cols / 8;
  launch(queue, prepare_kernel<kFormat>, dim3(ceil_div(units, 256)), 256, 0, 1, task.x,
         static_cast<int32_t>(task.weight.cols), task.quantize, static_cast<uint4*>(prepared));
}

template <WeightFormat kFormat>
void linear_many_of(Queue queue, const LinearTask& task, const void* prepared) {
  Product p = describe(task);
  p.x = static_cast<const float*>(prepared);
  p.x_stride = task.x.cols;
  const size_t row_bytes = static_cast<size_t>(unit_stride(p.cut.widest)) * sizeof(uint4);
  int columns = kManyColumns;
  while (columns > 2 && static_cast<size_t>(columns * kTileColumns) * row_bytes > kSharedLimit) columns /= 2;
  for (int64_t first = 0; first < task.x.rows;) {
    const int m = static_cast<int>(std::min<int64_t>(task.x.rows - first, columns * kTileColumns));
    if (m <= 2 * kTileColumns) {
      launch_many<kFormat, 2>(queue, p, static_cast<int>(first), m);
    } else if (m <= 4 * kTileColumns) {
      launch_many<kFormat, 4>(queue, p, static_cast<int>(first), m);
    } else {
      launch_many<kFormat, 8>(queue, p, static_cast<int>(first), m);
    }
    first += m;
  }
}

}  // namespace

bool tensor_core_shape(const LinearTask& task) {
  const Weight& w = task.weight;
  if (w.format == WeightFormat::kF32 || w.all_cols() % 128 != 0) return false;
  if (w.all_rows() * w.all_cols() >= (int64_t{1} << 31))
    return false;  // lanes keep 32 bits of where rows begin
  // A block's weight rows must belong to one group: 16..128 rows by chunk count.
  if (task.grouped && w.rows / task.groups % kManyRows != 0) return false;
  const int64_t widest = task.parts.count > 0 ? task.parts.widest : chunk_columns(w.cols);
  if (widest > kChainColumnsMax) return false;
  const bool aligned = reinterpret_cast<uintptr_t>(task.x.data) % 16 == 0 && task.x.stride % 4 == 0 &&
                       reinterpret_cast<uintptr_t>(w.data) % 16 == 0 &&
                       reinterpret_cast<uintptr_t>(w.scale) % 4 == 0;
  const size_t many = static_cast<size_t>(2 * kTileColumns * unit_stride(widest)) * sizeof(uint4);
  return aligned && many <= kSharedLimit;
}

bool few_rows(const LinearTask& task) {
  return task.x.rows <= kFewRows && few_shared_bytes(task) <= kSharedLimit;
}

void linear_few(Queue queue, const LinearTask* tasks, int count) {
  Products products = {};
  products.count = count;
  products.m = static_cast<int32_t>(tasks[0].x.rows);
  unsigned blocks = 0;
  size_t shared = 0;
  for (int i = 0; i < count; ++i) {
    Product& p = products.product[i] = describe(tasks[i]);
    p.first_block = static_cast<int32_t>(blocks);
    blocks += ceil_div(p.rows, few_block_rows(p));
    shared = std::max(shared, few_shared_bytes(tasks[i]));
  }
  launch(queue, few_kernel, dim3(blocks), kFewThreads, shared, 1, products);
}

void prepare_input(Queue queue, const LinearTask& task, void* prepared) {
  switch (task.weight.format) {
    case WeightFormat::kFp8Block:
      prepare_input_as<WeightFormat::kFp8Block>(queue, task, prepared);
      break;
    case WeightFormat::kFp4Row:
      prepare_input_as<WeightFormat::kFp4Row>(queue, task, prepared);
      break;
    default:
      prepare_input_as<WeightFormat::kBF16>(queue, task, prepared);
      break;
  }
}

bool same_input(const LinearTask& a, const LinearTask& b) {
  return a.x.data == b.x.data && a.x.rows == b.x.rows && a.x.cols == b.x.cols && a.x.stride == b.x.stride &&
         a.weight.cols == b.weight.cols && a.weight.format == b.weight.format && a.quantize == b.quantize;
}

void linear_many(Queue queue, const LinearTask& task, const void* prepared) {
  switch (task.weight.format) {
    case WeightFormat::kFp8Block:
      linear_many_of<WeightFormat::kFp8Block>(queue, task, prepared);
      break;
    case WeightFormat::kFp4Row:
      linear_many_of<WeightFormat::kFp4Row>(queue, task, prepared);
      break;
    default:
      linear_many_of<WeightFormat::kBF16>(queue, task, prepared);
      break;
  }
}

}  // namespace ft::cuda
