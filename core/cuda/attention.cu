// Attention of each row over its own list of keys,
// one key/value vector for all heads (docs/spec/model.md 3.7).
//
// Few rows with short lists are one launch (attention_cluster.cu), the others three with the same sums:
//   logits   32 slots x 16 heads a block: c^-1/2 q.K, and their maxima
//   values   128 slots (a split) x all heads x 64 columns a block: exp, then the weighted sum of keys; M is the maximum
//            over the whole list, as the weights are rounded to bf16 relative to it
//   combine  splits in ascending order, the sink, division, inverse rotation
#include <algorithm>

#include "core/cuda/attention_list.cuh"
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kHeadGroup = 64;    // heads of a values block
constexpr int kColumnBlock = 64;  // columns of a values block

// Where the slots of a row lie, and the parts of the scratch of a call.
struct Layout {
  int window_slots;
  int slots;   // of the longest row, a multiple of kSplit
  int blocks;  // key blocks
  int splits;
  float* logits;   // [rows, heads, slots]
  float* maxima;   // [rows, blocks, heads]
  float* sums;     // [rows, splits, heads, c]
  float* weights;  // [rows, splits, heads]: sum of the unrounded weights
};

Layout make_layout(const AttendArgs& args, int64_t rows) {
  Layout layout = {};
  layout.window_slots = window_slots(args);
  layout.slots = slot_count(args);
  layout.blocks = layout.slots / kKeyBlock;
  layout.splits = layout.slots / kSplit;
  float* at = args.scratch;
  const auto take = [&](int64_t count) {
    float* part = at;
    at += count;
    return part;
  };
  layout.logits = take(rows * args.heads * layout.slots);
  layout.maxima = take(rows * args.heads * layout.blocks);
  layout.sums = take(rows * args.heads * layout.splits * args.head_dim);
  layout.weights = take(rows * args.heads * layout.splits);
  return layout;
}

// blockIdx: key block, head tile, row.
template <bool kTensorCore>
__global__ void __launch_bounds__(kThreads)
    logits_kernel(const __grid_constant__ AttendArgs args, const __grid_constant__ Layout layout,
                  int first_row, float scale) {
  __shared__ float maxima[kWarps][kHeadTile];
  __shared__ const float* keys[kKeyBlock];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = first_row + static_cast<int>(blockIdx.z);
  const int first_head = static_cast<int>(blockIdx.y) * kHeadTile;
  const int first_slot = static_cast<int>(blockIdx.x) * kKeyBlock;
  const int c = args.head_dim;
  wait_for_previous();
  if (first_slot >= used_slots(args, layout.window_slots, row)) return;
  if (threadIdx.x < kKeyBlock)
    keys[threadIdx.x] = key_at(args, layout.window_slots, row, first_slot + static_cast<int>(threadIdx.x));
  __syncthreads();

  const float* q = args.q.data + row * args.q.stride;
  float sums[4] = {};  // heads g, g+8 (rows of 2) by slots 2t, 2t+1
  if (kTensorCore) {
    key_products(args, q, first_head, keys[warp * 8 + lane / 4], sums);
  } else {
    // Eight chains: a logit's error is a relative error of its weight.
    for (int i = 0; i < 4; ++i) {
      const float* a = q + min(first_head + lane / 4 + i / 2 * 8, args.heads - 1) * c;
      const float* key = keys[warp * 8 + lane % 4 * 2 + i % 2];
      if (key == nullptr) continue;
      float chains[8] = {};
      for (int k = 0; k < c; k += 8) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          if (k + j < c) chains[j] += a[k + j] * key[k + j];
        }
      }
      sums[i] = ((chains[0] + chains[1]) + (chains[2] + chains[3])) +
                ((chains[4] + chains[5]) + (chains[6] + chains[7]));
    }
  }

  float largest[2] = {kNegativeInfinity, kNegativeInfinity};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int slot = warp * 8 + lane % 4 * 2 + i % 2;
    const int head = first_head + lane / 4 + i / 2 * 8;
    const float logit = keys[slot] != nullptr ? sums[i] * scale : kNegativeInfinity;
    largest[i / 2] = fmaxf(largest[i / 2], logit);
    if (head < args.heads) {
      layout
          .logits[(static_cast<int64_t>(blockIdx.z) * args.heads + head) * layout.slots + first_slot + slot] =
          logit;
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float most = warp_max(largest[half], 4);
    if (lane % 4 == 0) maxima[warp][half * 8 + lane / 4] = most;
  }
  __syncthreads();
  const int head = static_cast<int>(threadIdx.x);
  if (head < kHeadTile && first_head + head < args.heads) {
    float most = maxima[0][head];
    for (int w = 1; w < kWarps; ++w) most = fmaxf(most, maxima[w][head]);
    layout.maxima[(static_cast<int64_t>(blockIdx.z) * layout.blocks + blockIdx.x) * args.heads + first_head +
                  head] = most;
  }
}

// M of a head: the largest logit of the row.
__device__ float row_maximum(const AttendArgs& args, const Layout& layout, int z, int used, int head) {
  float most = kNegativeInfinity;
  const float* maxima = layout.maxima + static_cast<int64_t>(z) * layout.blocks * args.heads + head;
#pragma unroll 4
  for (int block = 0; block * kKeyBlock < used; ++block)
    most = fmaxf(most, maxima[static_cast<int64_t>(block) * args.heads]);
  return most;
}

// blockIdx: split, column block and head group, row.
template <bool kOfficial, bool kTensorCore>
__global__ void __launch_bounds__(kThreads)
    values_kernel(const __grid_constant__ AttendArgs args, const __grid_constant__ Layout layout,
                  int first_row) {
  constexpr int kPadded = kSplit + 8;  // bf16: rows 4 banks apart
  auto* const shared = dynamic_shared<uint8_t>();
  auto* rounded = reinterpret_cast<__nv_bfloat16*>(shared);  // [kHeadGroup][kPadded], tensor core
  auto* exact = reinterpret_cast<float*>(shared);            // [kHeadGroup][kSplit], otherwise
  __shared__ const float* keys[kSplit];
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int z = static_cast<int>(blockIdx.z);
  const int row = first_row + z;
  const int c = args.head_dim;
  const int column_blocks = (c + kColumnBlock - 1) / kColumnBlock;
  const int first_column = static_cast<int>(blockIdx.y) % column_blocks * kColumnBlock;
  const int first_head = static_cast<int>(blockIdx.y) / column_blocks * kHeadGroup;
  const int split = static_cast<int>(blockIdx.x);
  wait_for_previous();
  const int used = used_slots(args, layout.window_slots, row);
  if (split * kSplit >= used) return;
  keys[thread] = key_at(args, layout.window_slots, row, split * kSplit + thread);
  __syncthreads();

  // Weights: two threads per head, a half of the slots each, in order.
  {
    const int head = first_head + thread / 2;
    const bool real = head < args.heads;
    const float most = real ? row_maximum(args, layout, z, used, head) : 0.0f;
    const float* logits = layout.logits +
                          (static_cast<int64_t>(z) * args.heads + min(head, args.heads - 1)) * layout.slots +
                          split * kSplit;
    float total = 0.0f;
    for (int i = 0; i < kSplit / 2; ++i) {
      const int slot = thread % 2 * (kSplit / 2) + i;
      const float weight = real && keys[slot] != nullptr ? expf(logits[slot] - most) : 0.0f;
      total += weight;
      if (kTensorCore) {
        rounded[thread / 2 * kPadded + slot] = __float2bfloat16_rn(weight);
      } else {
        exact[thread / 2 * kSplit + slot] = rb<kOfficial>(weight);
      }
    }
    const float other = __shfl_xor_sync(~0u, total, 1);
    if (real && thread % 2 == 0 && first_column == 0) {
      layout.weights[(static_cast<int64_t>(z) * layout.splits + split) * args.heads + head] = total + other;
    }
  }
  __syncthreads();

  float* sums = layout.sums + (static_cast<int64_t>(z) * layout.splits + split) * args.heads * c;
  if (kTensorCore) {
    // A warp has 32 heads (two tiles) and 32 columns: column 4n+i of them is column n of tile i, so that a
    // lane's keys are 16 bytes wide.
    const int head_half = warp % 2;
    const int column = first_column + warp / 2 * 32;
    if (column >= c) return;
    float tiles[2][4][4] = {};
#pragma unroll 2
    for (int k = 0; k < kSplit; k += 16) {
      float4 x[4];  // keys 2t, 2t+1, 2t+8, 2t+9
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* key = keys[k + lane % 4 * 2 + i % 2 + i / 2 * 8];
        x[i] = key != nullptr ? *reinterpret_cast<const float4*>(key + column + lane / 4 * 4)
                              : make_float4(0, 0, 0, 0);
      }
      const uint32_t b[4][2] = {{pack_bf16(x[0].x, x[1].x), pack_bf16(x[2].x, x[3].x)},
                                {pack_bf16(x[0].y, x[1].y), pack_bf16(x[2].y, x[3].y)},
                                {pack_bf16(x[0].z, x[1].z), pack_bf16(x[2].z, x[3].z)},
                                {pack_bf16(x[0].w, x[1].w), pack_bf16(x[2].w, x[3].w)}};
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        const int head = head_half * 32 + tile * 16 + lane / 4;
        const auto* low = reinterpret_cast<const uint32_t*>(rounded + head * kPadded + k) + lane % 4;
        const auto* high = reinterpret_cast<const uint32_t*>(rounded + (head + 8) * kPadded + k) + lane % 4;
#pragma unroll
        for (int i = 0; i < 4; ++i)
          mma_bf16(tiles[tile][i], low[0], high[0], low[4], high[4], b[i][0], b[i][1]);
      }
    }
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int head = first_head + head_half * 32 + tile * 16 + lane / 4 + half * 8;
        if (head >= args.heads) continue;
        float4* out =
            reinterpret_cast<float4*>(sums + static_cast<int64_t>(head) * c + column + lane % 4 * 8);
        const int i = half * 2;
        out[0] = make_float4(tiles[tile][0][i], tiles[tile][1][i], tiles[tile][2][i], tiles[tile][3][i]);
        out[1] = make_float4(tiles[tile][0][i + 1], tiles[tile][1][i + 1], tiles[tile][2][i + 1],
                             tiles[tile][3][i + 1]);
      }
    }
  } else {
    const int column = first_column + thread % kColumnBlock;
    if (column >= c) return;
    for (int h = thread / kColumnBlock; h < min(kHeadGroup, args.heads - first_head);
         h += kThreads / kColumnBlock) {
      float sum = 0.0f;
      for (int k = 0; k < kSplit; ++k) {
        if (keys[k] != nullptr) sum += exact[h * kSplit + k] * keys[k][column];
      }
      sums[static_cast<int64_t>(first_head + h) * c + column] = sum;
    }
  }
}

// blockIdx: head, row. A thread per pair of columns.
template <bool kOfficial>
__global__ void __launch_bounds__(kThreads)
    combine_kernel(const __grid_constant__ AttendArgs args, const __grid_constant__ Layout layout,
                   int first_row) {
  const int head = static_cast<int>(blockIdx.x);
  const int z = static_cast<int>(blockIdx.y);
  const int row = first_row + z;
  const int c = args.head_dim;
  wait_for_previous();
  const int used = used_slots(args, layout.window_slots, row);
  const int splits = (used + kSplit - 1) / kSplit;
  const float most = row_maximum(args, layout, z, used, head);
  float total = 0.0f;
  for (int s = 0; s < splits; ++s)
    total += layout.weights[(static_cast<int64_t>(z) * layout.splits + s) * args.heads + head];
  total += expf(args.sink[head] - most);
  const int rope = args.inverse.rope_dim;
  for (int i = static_cast<int>(threadIdx.x); i < c / 2; i += kThreads) {
    float2 sum = make_float2(0.0f, 0.0f);
    for (int s = 0; s < splits; ++s) {
      const int64_t at = ((static_cast<int64_t>(z) * layout.splits + s) * args.heads + head) * c;
      const float2 part = reinterpret_cast<const float2*>(layout.sums + at)[i];
      sum.x += part.x;
      sum.y += part.y;
    }
    float2 out = make_float2(rb<kOfficial>(sum.x / total), rb<kOfficial>(sum.y / total));
    if (2 * i >= c - rope) {
      out = rotate<true>(out, args.inverse.data + static_cast<int64_t>(row) * rope + 2 * i - (c - rope));
      out = make_float2(rb<kOfficial>(out.x), rb<kOfficial>(out.y));
    }
    reinterpret_cast<float2*>(args.out.data + row * args.out.stride + head * c)[i] = out;
  }
}

}  // namespace

size_t attend_scratch_bytes(const AttendArgs& args) {
  const Layout layout = make_layout(args, 1);
  const auto floats = static_cast<size_t>(args.heads) *
                      static_cast<size_t>(layout.slots + layout.blocks + layout.splits * (args.head_dim + 1));
  return floats * sizeof(float);
}

void attend(Queue queue, bool official, const AttendArgs& args, int32_t first_row, int32_t rows) {
  const float scale = 1.0f / sqrtf(static_cast<float>(args.head_dim));
  if (official && fits_cluster(args, rows)) {
    attend_cluster(queue, args, first_row, rows, scale);
    return;
  }
  const Layout layout = make_layout(args, rows);
  const bool tiles = official && args.head_dim % kColumnBlock == 0 && args.q.stride % 4 == 0;
  const auto z = static_cast<unsigned>(rows);
  launch(queue, tiles ? logits_kernel<true> : logits_kernel<false>,
         dim3(static_cast<unsigned>(layout.blocks), ceil_div(args.heads, kHeadTile), z), kThreads, 0, 1, args,
         layout, first_row, scale);
  const auto values = tiles      ? values_kernel<true, true>
                      : official ? values_kernel<true, false>
                                 : values_kernel<false, false>;
  const size_t bytes = static_cast<size_t>(kHeadGroup) *
                       (tiles ? (kSplit + 8) * sizeof(__nv_bfloat16) : kSplit * sizeof(float));
  launch(queue, values,
         dim3(static_cast<unsigned>(layout.splits),
              ceil_div(args.head_dim, kColumnBlock) * ceil_div(args.heads, kHeadGroup), z),
         kThreads, bytes, 1, args, layout, first_row);
  launch(queue, official ? combine_kernel<true> : combine_kernel<false>,
         dim3(static_cast<unsigned>(args.heads), z), kThreads, 0, 1, args, layout, first_row);
}

}  // namespace ft::cuda
