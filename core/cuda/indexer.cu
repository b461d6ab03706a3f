// The lightning indexer: scores of every visible entry,
// then the exact top-k by radix select (docs/spec/model.md 3.6).
#include "core/cuda/device_math.cuh"
#include "core/cuda/entry_address.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

constexpr int kScoreThreads = 128;
constexpr int kWarpKeys = 16;  // keys that a warp scores at a time
constexpr int kBlockKeys =
    kScoreThreads / 32 * kWarpKeys * 2;  // a block's share: the queries are loaded once for it
constexpr int kTileDimMax = 128;
constexpr int kSelectThreads = 1024;

// Whether the row's entries have to be ranked at all.
__device__ bool needs_scores(const IndexSelectArgs& args, int visible) {
  return visible > args.top_k || args.always_score;
}

// Official numerics by tensor core: heads are the 16-row side, keys the 8-column side. Dot products of bf16
// numbers are exact up to the order of the float32 sum.
__global__ void __launch_bounds__(kScoreThreads)
    score_tile_kernel(const __grid_constant__ IndexSelectArgs args) {
  auto* const queries =
      dynamic_shared<uint32_t>();  // [head tiles * 16][stride] bf16 pairs, then [heads] weights
  const int row = args.first_row + static_cast<int>(blockIdx.y);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int dim = args.head_dim;
  const int heads = static_cast<int>(args.weights.cols);
  const int tiles = (heads + 15) / 16;
  const int stride = dim / 2 + 8;  // in 4-byte words: 8 mod 32 banks for 64 and 128 columns
  float* weights = reinterpret_cast<float*>(queries + tiles * 16 * stride);
  wait_for_previous();
  const int visible = visible_entries(args.view, row);
  const int first_key = static_cast<int>(blockIdx.x) * kBlockKeys;
  if (first_key >= visible || !needs_scores(args, visible)) return;

  const float* q = args.q.data + row * args.q.stride;
  for (int i = static_cast<int>(threadIdx.x); i < tiles * 16 * dim / 2; i += kScoreThreads) {
    const int head = i / (dim / 2);
    const int pair = i % (dim / 2);
    const bool real = head < heads;
    queries[head * stride + pair] =
        real ? pack_bf16(q[head * dim + 2 * pair], q[head * dim + 2 * pair + 1]) : 0;
  }
  for (int h = static_cast<int>(threadIdx.x); h < tiles * 16; h += kScoreThreads) {
    weights[h] = h < heads ? rb(args.weights.data[row * args.weights.stride + h] * args.weight_scale) : 0.0f;
  }
  __syncthreads();

  for (int base = first_key + warp * kWarpKeys; base < min(first_key + kBlockKeys, visible);
       base += kScoreThreads / 32 * kWarpKeys) {
    uint32_t keys[2][kTileDimMax / 16][2];
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const int j = min(base + tile * 8 + lane / 4, visible - 1);
      const float* key =
          args.keys + static_cast<int64_t>(entry_address(args.view, row, j)) * dim + lane % 4 * 4;
#pragma unroll
      for (int s = 0; s < kTileDimMax / 16; ++s) {
        if (s * 16 >= dim) break;
        const float4 x = *reinterpret_cast<const float4*>(key + s * 16);
        keys[tile][s][0] = pack_bf16(x.x, x.y);
        keys[tile][s][1] = pack_bf16(x.z, x.w);
      }
    }
    float sums[2][2] = {};  // over this lane's heads, for columns 2t and 2t+1 of each key tile
    for (int t = 0; t < tiles; ++t) {
      const uint32_t* low = queries + (t * 16 + lane / 4) * stride + lane % 4 * 2;
      const uint32_t* high = low + 8 * stride;
      float dots[2][4] = {};
#pragma unroll
      for (int s = 0; s < kTileDimMax / 16; ++s) {
        if (s * 16 >= dim) break;
        const uint2 a = *reinterpret_cast<const uint2*>(low + s * 8);
        const uint2 b = *reinterpret_cast<const uint2*>(high + s * 8);
#pragma unroll
        for (int tile = 0; tile < 2; ++tile)
          mma_bf16(dots[tile], a.x, b.x, a.y, b.y, keys[tile][s][0], keys[tile][s][1]);
      }
      const float w_low = weights[t * 16 + lane / 4];
      const float w_high = weights[t * 16 + lane / 4 + 8];
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          sums[tile][i] += rb(w_low * fmaxf(rb(dots[tile][i]), 0.0f));
          sums[tile][i] += rb(w_high * fmaxf(rb(dots[tile][2 + i]), 0.0f));
        }
      }
    }
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float sum = sums[tile][i];
        for (int distance = 4; distance < 32; distance *= 2) sum += __shfl_xor_sync(~0u, sum, distance);
        const int j = base + tile * 8 + lane % 4 * 2 + i;
        if (lane < 4 && j < visible)
          args.scores[static_cast<int64_t>(blockIdx.y) * args.score_stride + j] = rb(sum);
      }
    }
  }
}

// Any numerics and shape: a warp per key.
template <bool kOfficial>
__global__ void __launch_bounds__(kScoreThreads) score_kernel(const __grid_constant__ IndexSelectArgs args) {
  const int row = args.first_row + static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int j = static_cast<int>(blockIdx.x) * (kScoreThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  wait_for_previous();
  const int visible = visible_entries(args.view, row);
  if (j >= visible || !needs_scores(args, visible)) return;
  const float* key = args.keys + static_cast<int64_t>(entry_address(args.view, row, j)) * args.head_dim;
  const float* q = args.q.data + row * args.q.stride;
  float sum = 0.0f;
  for (int h = 0; h < static_cast<int>(args.weights.cols); ++h) {
    float dot = 0.0f;
    for (int i = lane; i < args.head_dim; i += 32) dot += q[h * args.head_dim + i] * key[i];
    dot = fmaxf(rb<kOfficial>(warp_sum(dot)), 0.0f);
    sum += rb<kOfficial>(rb<kOfficial>(args.weights.data[row * args.weights.stride + h] * args.weight_scale) *
                         dot);
  }
  if (lane == 0) args.scores[static_cast<int64_t>(blockIdx.y) * args.score_stride + j] = rb<kOfficial>(sum);
}

// Larger score, larger key. Adding zero turns -0 into +0: they are equal.
__device__ uint32_t sort_key(float score) {
  const uint32_t bits = __float_as_uint(score + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// One block per row.
__global__ void __launch_bounds__(kSelectThreads)
    select_kernel(const __grid_constant__ IndexSelectArgs args) {
  __shared__ uint32_t histogram[256];
  __shared__ uint32_t prefix;  // the leading bytes of the k-th largest key
  __shared__ int wanted;       // how many of the entries with that prefix belong to the top k
  __shared__ int warp_counts[kSelectThreads / 32][2];
  const int row = args.first_row + static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  wait_for_previous();
  const int visible = visible_entries(args.view, row);
  int32_t* selected = args.selected + static_cast<int64_t>(row) * args.top_k;
  if (visible <= args.top_k) {
    for (int i = thread; i < args.top_k; i += kSelectThreads) {
      selected[i] = i < visible ? entry_address(args.view, row, i) : -1;
    }
    return;
  }
  const float* scores = args.scores + static_cast<int64_t>(blockIdx.x) * args.score_stride;
  if (thread == 0) {
    prefix = 0;
    wanted = args.top_k;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (thread < 256) histogram[thread] = 0;
    __syncthreads();
    const uint32_t leading = prefix;
    for (int j = thread; j < visible; j += kSelectThreads) {
      const uint32_t key = sort_key(scores[j]);
      // Counts are integers: their sum has no order.
      if (shift == 24 || key >> (shift + 8) == leading >> (shift + 8))
        atomicAdd(&histogram[key >> shift & 255u], 1u);
    }
    __syncthreads();
    if (warp == 0) {
      // Lane l has digits 8l..8l+7;
      // a suffix sum over the lanes finds the one where the count passes `wanted`.
      int own = 0;
      for (int i = 0; i < 8; ++i) own += static_cast<int>(histogram[lane * 8 + i]);
      int above = own;  // inclusive from this lane up
      for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_down_sync(~0u, above, distance);
        if (lane + distance < 32) above += other;
      }
      int left = wanted - (above - own);  // wanted of this lane's digits
      __syncwarp();
      if (left > 0 && left <= own) {
        int digit = lane * 8 + 7;
        for (; static_cast<int>(histogram[digit]) < left; --digit) left -= static_cast<int>(histogram[digit]);
        prefix = leading | static_cast<uint32_t>(digit) << shift;
        wanted = left;
      }
    }
    __syncthreads();
  }
  // Every larger key, and the first `wanted` of the equal ones; in ascending j.
  const uint32_t threshold = prefix;
  int larger_before = 0;
  int equal_before = 0;
  for (int first = 0; first < visible; first += kSelectThreads) {
    const int j = first + thread;
    const uint32_t key = j < visible ? sort_key(scores[j]) : 0;
    const bool larger = j < visible && key > threshold;
    const bool equal = j < visible && key == threshold;
    const uint32_t larger_mask = __ballot_sync(~0u, larger);
    const uint32_t equal_mask = __ballot_sync(~0u, equal);
    if (lane == 0) {
      warp_counts[warp][0] = __popc(larger_mask);
      warp_counts[warp][1] = __popc(equal_mask);
    }
    __syncthreads();
    int larger_at = larger_before;
    int equal_at = equal_before;
    for (int w = 0; w < kSelectThreads / 32; ++w) {
      if (w == warp) {
        larger_at = larger_before;
        equal_at = equal_before;
      }
      larger_before += warp_counts[w][0];
      equal_before += warp_counts[w][1];
    }
    const uint32_t below = (1u << lane) - 1u;
    larger_at += __popc(larger_mask & below);
    equal_at += __popc(equal_mask & below);
    const bool taken = larger || (equal && equal_at < wanted);
    if (taken) selected[larger_at + min(equal_at, wanted)] = entry_address(args.view, row, j);
    __syncthreads();
  }
}

bool fits_tiles(const IndexSelectArgs& args) {
  return args.head_dim % 16 == 0 && args.head_dim <= kTileDimMax && args.q.stride % 4 == 0 &&
         reinterpret_cast<uintptr_t>(args.keys) % 16 == 0;
}

}  // namespace

void index_select(Queue queue, bool official, const IndexSelectArgs& args) {
  const auto rows = static_cast<unsigned>(args.rows);
  if (args.visible_max > args.top_k || args.always_score) {
    if (official && fits_tiles(args)) {
      const auto heads = static_cast<size_t>(ceil_div(args.weights.cols, 16)) * 16;
      const size_t bytes = heads * static_cast<size_t>(args.head_dim / 2 + 8 + 1) * sizeof(float);
      launch(queue, score_tile_kernel, dim3(ceil_div(args.visible_max, kBlockKeys), rows), kScoreThreads,
             bytes, 1, args);
    } else {
      launch(queue, official ? score_kernel<true> : score_kernel<false>,
             dim3(ceil_div(args.visible_max, kScoreThreads / 32), rows), kScoreThreads, 0, 1, args);
    }
  }
  launch(queue, select_kernel, dim3(rows), kSelectThreads, 0, 1, args);
}

}  // namespace ft::cuda
