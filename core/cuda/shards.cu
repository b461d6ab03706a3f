// What lies between the ranks of one model: the upper part of the tree of sums, and columns that others own.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/shard_tree.cuh"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) add_kernel(const float* sums, int ranks, bool round, Matrix y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t r = blockIdx.y;
  wait_for_previous();
  if (i >= y.cols) return;
  const float sum = tree_sum(ranks, [&](int rank) { return sums[(rank * y.rows + r) * y.cols + i]; });
  y.data[r * y.stride + i] = round ? rb(sum) : sum;
}

__global__ void __launch_bounds__(kThreads)
    pack_kernel(Matrix y, int64_t first, int64_t count, int64_t width, float* packed) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t r = blockIdx.y;
  wait_for_previous();
  if (i < count) packed[r * width + i] = y.data[r * y.stride + first + i];
}

__global__ void __launch_bounds__(kThreads)
    unpack_kernel(const float* packed, const __grid_constant__ ColumnParts of, int own, Matrix y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t r = blockIdx.y;
  const int rank = static_cast<int>(blockIdx.z);
  wait_for_previous();
  if (rank == own || i >= of.at[rank + 1] - of.at[rank]) return;
  y.data[r * y.stride + of.at[rank] + i] = packed[(rank * y.rows + r) * of.widest + i];
}

}  // namespace

void add_ranks(Queue queue, const float* sums, int ranks, bool round, Matrix y) {
  launch(queue, add_kernel, dim3(ceil_div(y.cols, kThreads), static_cast<unsigned>(y.rows)), kThreads, 0, 1,
         sums, ranks, round, y);
}

void pack_columns(Queue queue, Matrix y, int64_t first, int64_t count, int64_t width, float* packed) {
  launch(queue, pack_kernel, dim3(ceil_div(count, kThreads), static_cast<unsigned>(y.rows)), kThreads, 0, 1,
         y, first, count, width, packed);
}

void unpack_columns(Queue queue, const float* packed, const ColumnParts& of, int own, Matrix y) {
  launch(queue, unpack_kernel,
         dim3(ceil_div(of.widest, kThreads), static_cast<unsigned>(y.rows), static_cast<unsigned>(of.count)),
         kThreads, 0, 1, packed, of, own, y);
}

}  // namespace ft::cuda
