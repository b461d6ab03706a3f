// The ends of a mixture of experts (router, combination) and the experts in float32, pair by pair, for the
// exact numerics and for shapes that fit no tile.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/moe_layout.h"
#include "core/cuda/shard_tree.cuh"
#include "core/cuda/weight_row.cuh"

namespace ft::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kCombineThreads = 128;

__device__ float softplus(float x) {
  return x > 20.0f ? x : log1pf(expf(x));
}

// One warp per row; scores stay in shared memory.
__global__ void __launch_bounds__(32)
    route_kernel(const float* logits, int experts, const float* bias, const int32_t* tid2eid,
                 const int32_t* tokens, int k, float route_scale, int32_t* ids, float* weights) {
  auto* const scores = dynamic_shared<float>();                  // [experts]
  float* keys = scores + experts;                                // [experts]
  int32_t* chosen = reinterpret_cast<int32_t*>(keys + experts);  // [k]
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t r = blockIdx.x;
  wait_for_previous();
  for (int e = lane; e < experts; e += 32) {
    scores[e] = sqrtf(softplus(logits[r * experts + e]));
    keys[e] = bias != nullptr ? scores[e] + bias[e] : 0.0f;
  }
  __syncwarp();
  for (int i = 0; i < k; ++i) {
    int best = -1;
    if (tid2eid != nullptr) {
      best = tid2eid[static_cast<int64_t>(tokens[r]) * k + i];
    } else {
      float largest = kNegativeInfinity;
      for (int e = lane; e < experts; e += 32) {
        if (keys[e] > largest) {
          largest = keys[e];
          best = e;
        }
      }
      for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(~0u, largest, distance);
        const int id = __shfl_xor_sync(~0u, best, distance);
        // Of equal values the lower id; -1 stands for "none left in my lanes".
        if (id >= 0 && (best < 0 || other > largest || (other == largest && id < best))) {
          largest = other;
          best = id;
        }
      }
    }
    if (best < 0)
      best = i;  // only where scores are NaN: an id in range, so that the damage stays in this row
    if (lane == 0) {
      chosen[i] = best;
      if (tid2eid == nullptr) keys[best] = kNegativeInfinity;
    }
    __syncwarp();
  }
  if (lane != 0) return;
  for (int i = 1; i < k; ++i) {
    const int id = chosen[i];
    int j = i;
    for (; j > 0 && chosen[j - 1] > id; --j) chosen[j] = chosen[j - 1];
    chosen[j] = id;
  }
  float sum = 0.0f;
  for (int i = 0; i < k; ++i) sum += scores[chosen[i]];
  for (int i = 0; i < k; ++i) {
    ids[r * k + i] = chosen[i];
    weights[r * k + i] = scores[chosen[i]] / sum * route_scale;
  }
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
  if (static_cast<int>(threadIdx.x) < k) {
    const int slot = static_cast<int>(threadIdx.x);
    int rank = 0;
    for (int other = 0; other < k; ++other) {
      rank +=
          ids[r * k + other] < ids[r * k + slot] || (ids[r * k + other] == ids[r * k + slot] && other < slot)
              ? 1
              : 0;
    }
    order[rank] = slot;
  }
  __syncthreads();
  if (i >= y.cols) return;
  float sums[kParts] = {};
  const auto add = [&](int64_t pair) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      if (part < parts) sums[part] += out[(pair * parts + part) * y.cols + i];
    }
  };
#pragma unroll 2
  for (int slot = 0; slot < k; ++slot) add(r * k + order[slot]);
  add(y.rows * k + r);
  const float sum = tree_sum(parts, [&](int part) { return sums[part]; });
  y.data[r * y.stride + i] = round ? rb(sum) : sum;
}

bool is_quantized(WeightFormat format) {
  return format == WeightFormat::kFp8Block || format == WeightFormat::kFp4Row;
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

void route_select(Queue queue, const float* logits, int64_t rows, int experts, const float* bias,
                  const int32_t* tid2eid, const int32_t* tokens, int k, float route_scale, int32_t* ids,
                  float* weights) {
  launch(queue, route_kernel, dim3(static_cast<unsigned>(rows)), 32,
         static_cast<size_t>(2 * experts + k) * sizeof(float), 1, logits, experts, bias, tid2eid, tokens, k,
         route_scale, ids, weights);
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
         const float* weights, int k, float swiglu_limit, void* memory, bool round, Matrix y) {
  const bool tiles = official && moe_fits_tiles(table);
  MoeScratch scratch;
  cut_scratch(memory, table, x.rows, k, tiles, scratch);
  if (tiles) {
    moe_tiled(queue, x, table, ids, weights, k, swiglu_limit, scratch);
  } else {
    moe_exact(queue, official, x, table, ids, weights, k, swiglu_limit, scratch);
  }
  launch(queue, combine_kernel, dim3(ceil_div(y.cols, kCombineThreads), static_cast<unsigned>(y.rows)),
         kCombineThreads, 0, 1, static_cast<const float*>(scratch.out), ids, k, table.parts.count, round, y);
}

}  // namespace ft::cuda
