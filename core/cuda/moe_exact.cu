// The ends of a mixture of experts (router, combination) and the experts in float32, pair by pair, for the
// exact numerics and for shapes that fit no tile.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/moe_layout.h"
#include "core/cuda/moe_parts.cuh"
#include "core/cuda/weight_row.cuh"

namespace ft::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kCombineThreads = 128;

// One warp per row; scores stay in shared memory.
__global__ void __launch_bounds__(32) route_kernel(const __grid_constant__ RouteCall call) {
  wait_for_previous();
  route_row(call, blockIdx.x, dynamic_shared<float>());
}

// hidden[pair, i] for one pair per blockIdx.y.
template <bool kOfficial>
__global__ void __launch_bounds__(kWarps * 32)
    gate_up_kernel(ExpertTable table, Matrix routed, Matrix shared, const int32_t* ids, const float* weights,
                   int pairs, int k, float limit, float* hidden) {
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int pair = static_cast<int>(blockIdx.y);
  wait_for_previous();
  if (row >= table.inner) return;
  const bool is_shared = pair >= pairs;
  const ExpertTable::Expert expert = table.experts[is_shared ? table.count : ids[pair]];
  const float* const x[1] = {is_shared ? shared.data + (pair - pairs) * shared.stride
                                       : routed.data + pair / k * routed.stride};
  float g[1];
  float u[1];
  with_format(is_shared ? table.shared_format : table.routed_format, [&]<WeightFormat kFormat>() {
    dot_rows<kFormat>(expert.data[0], expert.scale[0], table.width, row, {0, table.width}, x, g);
    dot_rows<kFormat>(expert.data[1], expert.scale[1], table.width, row, {0, table.width}, x, u);
  });
  const float gate = fminf(rb<kOfficial>(g[0]), limit);
  const float up = fminf(fmaxf(rb<kOfficial>(u[0]), -limit), limit);
  const float weight = is_shared ? 1.0f : weights[pair];
  if (threadIdx.x % 32 == 0) {
    hidden[static_cast<int64_t>(pair) * table.inner + row] =
        rb<kOfficial>(weight * (gate * sigmoid(gate)) * up);
  }
}

// q8() of rows first.. of `in`, a warp per group of 128.
__global__ void __launch_bounds__(32)
    quantize_kernel(const float* in, int64_t stride, int64_t columns, float* out) {
  const int lane = static_cast<int>(threadIdx.x);
  wait_for_previous();
  float values[4];
  float largest = 0.0f;
  for (int i = 0; i < 4; ++i) {
    const int64_t column = blockIdx.x * kQ8Group + i * 32 + lane;
    values[i] = column < columns ? in[blockIdx.y * stride + column] : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
  const int exponent = q8_exponent(warp_max(largest));
  for (int i = 0; i < 4; ++i) {
    const int64_t column = blockIdx.x * kQ8Group + i * 32 + lane;
    if (column < columns) out[blockIdx.y * columns + column] = q8_round(values[i], exponent);
  }
}

__global__ void __launch_bounds__(kWarps * 32)
    down_kernel(ExpertTable table, const float* routed, const float* shared, const int32_t* ids, int pairs,
                float* out) {
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int pair = static_cast<int>(blockIdx.y);
  wait_for_previous();
  if (row >= table.width) return;
  const bool is_shared = pair >= pairs;
  const ExpertTable::Expert expert = table.experts[is_shared ? table.count : ids[pair]];
  const float* const x[1] = {(is_shared ? shared : routed) + static_cast<int64_t>(pair) * table.inner};
  for (int part = 0; part < table.parts.count; ++part) {
    float sum[1];
    with_format(is_shared ? table.shared_format : table.routed_format, [&]<WeightFormat kFormat>() {
      dot_rows<kFormat>(expert.data[2], expert.scale[2], table.inner, row,
                        {table.parts.at[part], table.parts.at[part + 1]}, x, sum);
    });
    if (threadIdx.x % 32 == 0)
      out[(static_cast<int64_t>(pair) * table.parts.count + part) * table.width + row] = sum[0];
  }
}

// y = the tree over the shards of: the sum of the row's experts in ascending id, then the shared one.
__global__ void __launch_bounds__(kCombineThreads)
    combine_kernel(const float* out, const int32_t* ids, int k, int parts, bool round, Matrix y) {
  __shared__ int order[32];
  const int64_t r = blockIdx.y;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kCombineThreads + threadIdx.x;
  wait_for_previous();
  if (static_cast<int>(threadIdx.x) < k) sort_slot(ids + r * k, k, static_cast<int>(threadIdx.x), order);
  __syncthreads();
  if (i >= y.cols) return;
  const float sum = combine_experts(out, order, y.rows, k, parts, y.cols, r, i);
  y.data[r * y.stride + i] = round ? rb(sum) : sum;
}

size_t aligned(size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

// Cuts `memory` into the parts of a call; returns the bytes taken. `memory` may be null.
size_t cut_scratch(void* memory, const ExpertTable& table, int64_t rows, int k, bool tiles,
                   MoeScratch& scratch) {
  size_t used = 0;
  const auto take = [&](auto*& part, size_t bytes) {
    part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(static_cast<uint8_t*>(memory) + used);
    used += aligned(bytes);
  };
  const auto all = static_cast<size_t>(rows * k + rows);
  const auto width = static_cast<size_t>(table.width);
  const auto inner = static_cast<size_t>(table.inner);
  const size_t element = tiles ? 2 : 4;
  const auto experts = static_cast<size_t>(table.count);
  take(scratch.plan.active, sizeof(int32_t));
  take(scratch.plan.expert, experts * sizeof(int32_t));
  take(scratch.plan.offset, experts * sizeof(int32_t));
  take(scratch.plan.count, experts * sizeof(int32_t));
  take(scratch.plan.pair, all * sizeof(int32_t));
  take(scratch.routed_input, static_cast<size_t>(rows) * width * element);
  take(scratch.shared_input, static_cast<size_t>(rows) * width * element);
  take(scratch.hidden, all * inner * element);
  take(scratch.hidden_quantized, tiles ? 0 : all * inner * element);
  take(scratch.out, all * static_cast<size_t>(table.parts.count) * width * sizeof(float));
  return used;
}

}  // namespace

void route_select(Queue queue, const RouteCall& call, int64_t rows) {
  launch(queue, route_kernel, dim3(static_cast<unsigned>(rows)), 32,
         static_cast<size_t>(route_floats(call.experts, call.k)) * sizeof(float), 1, call);
}

void moe_exact(Queue queue, bool official, Matrix x, const ExpertTable& table, const int32_t* ids,
               const float* weights, int k, float swiglu_limit, const MoeScratch& scratch) {
  const int pairs = static_cast<int>(x.rows) * k;
  const unsigned all = static_cast<unsigned>(pairs + x.rows);
  const bool routed_quantized = official && is_quantized(table.routed_format);
  const bool shared_quantized = official && is_quantized(table.shared_format);
  float* quantized = static_cast<float*>(scratch.routed_input);
  if (routed_quantized || shared_quantized) {
    launch(queue, quantize_kernel, dim3(ceil_div(x.cols, kQ8Group), static_cast<unsigned>(x.rows)), 32, 0, 1,
           x.data, x.stride, x.cols, quantized);
  }
  const Matrix seen(quantized, x.rows, x.cols);
  float* hidden = static_cast<float*>(scratch.hidden);
  float* hidden_quantized = static_cast<float*>(scratch.hidden_quantized);
  launch(queue, official ? gate_up_kernel<true> : gate_up_kernel<false>,
         dim3(ceil_div(table.inner, kWarps), all), kWarps * 32, 0, 1, table, routed_quantized ? seen : x,
         shared_quantized ? seen : x, ids, weights, pairs, k, swiglu_limit, hidden);
  if (routed_quantized || shared_quantized) {
    launch(queue, quantize_kernel, dim3(ceil_div(table.inner, kQ8Group), all), 32, 0, 1, hidden,
           static_cast<int64_t>(table.inner), static_cast<int64_t>(table.inner), hidden_quantized);
  }
  launch(queue, down_kernel, dim3(ceil_div(table.width, kWarps), all), kWarps * 32, 0, 1, table,
         routed_quantized ? hidden_quantized : hidden, shared_quantized ? hidden_quantized : hidden, ids,
         pairs, scratch.out);
}

size_t moe_scratch_bytes(const ExpertTable& table, int64_t rows, int k, bool official) {
  MoeScratch unused;
  return cut_scratch(nullptr, table, rows, k, official && moe_fits_tiles(table), unused);
}

void moe(Queue queue, bool official, Matrix x, const ExpertTable& table, const int32_t* ids,
         const float* weights, int k, float swiglu_limit, void* memory, bool round, Matrix y,
         int32_t* tickets, const Router* router) {
  const bool tiles = official && moe_fits_tiles(table);
  MoeScratch scratch;
  cut_scratch(memory, table, x.rows, k, tiles, scratch);
  if (!tiles) {
    moe_exact(queue, official, x, table, ids, weights, k, swiglu_limit, scratch);
  } else if (moe_tiled(queue, x, table, ids, weights, k, swiglu_limit, scratch, {y, round, tickets},
                       router)) {
    return;
  }
  launch(queue, combine_kernel, dim3(ceil_div(y.cols, kCombineThreads), static_cast<unsigned>(y.rows)),
         kCombineThreads, 0, 1, static_cast<const float*>(scratch.out), ids, k, table.parts.count, round, y);
}

}  // namespace ft::cuda
