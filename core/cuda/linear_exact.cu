// y = x W^T in float32, for every format and shape: a warp per weight row, eight rows of x at a time.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/shard_tree.cuh"
#include "core/cuda/weight_row.cuh"

namespace ft::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kRows = 8;

// q8() of each row, a warp per group of 128; the last group may be short.
__global__ void __launch_bounds__(32) quantize_kernel(Matrix x, float* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kQ8Group;
  wait_for_previous();
  const float* row = x.data + blockIdx.y * x.stride;
  float values[4];
  float largest = 0.0f;
  for (int i = 0; i < 4; ++i) {
    const int64_t column = start + i * 32 + lane;
    values[i] = column < x.cols ? row[column] : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
  const int exponent = q8_exponent(warp_max(largest));
  for (int i = 0; i < 4; ++i) {
    const int64_t column = start + i * 32 + lane;
    if (column < x.cols) out[blockIdx.y * x.cols + column] = q8_round(values[i], exponent);
  }
}

__global__ void __launch_bounds__(kWarps * 32)
    exact_kernel(Matrix x, Weight weight, Matrix y, int64_t group_rows, ColumnParts parts, bool round) {
  __shared__ float sums[kWarps][kParts][kRows];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kRows;
  wait_for_previous();
  if (row >= weight.rows) return;
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) {
    rows[r] = x.data + min(first + r, x.rows - 1) * x.stride + row / group_rows * weight.cols;
  }
  for (int part = 0; part < parts.count; ++part) {
    float products[kRows];
    with_format(weight.format, [&]<WeightFormat kFormat>() {
      dot_rows<kFormat>(static_cast<const uint8_t*>(weight.data), weight.scale, weight.cols, row,
                        {parts.at[part], parts.at[part + 1]}, rows, products);
    });
    if (lane == 0) {
      for (int r = 0; r < kRows; ++r) sums[warp][part][r] = products[r];
    }
  }
  __syncwarp();
  if (lane < kRows && first + lane < x.rows) {
    const float sum = tree_sum(parts.count, [&](int part) { return sums[warp][part][lane]; });
    y.data[(first + lane) * y.stride + row] = round ? rb(sum) : sum;
  }
}

}  // namespace

void linear_exact(Queue queue, const LinearTask& task, float* quantized) {
  Matrix x = task.x;
  if (task.quantize) {
    launch(queue, quantize_kernel, dim3(ceil_div(x.cols, kQ8Group), static_cast<unsigned>(x.rows)), 32, 0, 1,
           x, quantized);
    x = Matrix(quantized, x.rows, x.cols);
  }
  ColumnParts parts = task.parts;
  if (parts.count == 0) {
    parts.count = 1;
    parts.at[1] = static_cast<int32_t>(task.weight.cols);
  }
  launch(queue, exact_kernel, dim3(ceil_div(task.weight.rows, kWarps), ceil_div(x.rows, kRows)), kWarps * 32,
         0, 1, x, task.weight, task.y, task.weight.rows / task.groups, parts, task.round);
}

}  // namespace ft::cuda
