// Attention of few rows in one launch: a cluster of blocks has sixteen heads of one row (attention.cu has the sums).
//
// Every block makes the logits of some key blocks and writes them to all blocks of the cluster, then weights and sums
// of all splits for its own columns. So the blocks meet once, and what crosses is logits.
#include <cooperative_groups.h>

#include "core/cuda/attention_list.cuh"
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

namespace cg = cooperative_groups;

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kCluster = 8;                       // the portable maximum
constexpr int kColumns = 16;                      // of a warp
constexpr int kBlockColumns = kWarps * kColumns;  // of a block at a time
constexpr int kSplitsMax = 9;                     // 1,024 entries beside the window
constexpr int kRow = kSplit + 4;                  // floats: rows 4 banks apart
constexpr int kHalf = kSplit / 2;                 // slots whose weights one lane makes

// Logits of one split as the bits of float32 numbers. Then, where a lane's own of them were, the rounded weights.
struct SplitRows {
  uint32_t word[kHeadTile][kRow];
  // Two weights of head `head`, of slots `slot` and slot + 1 (even).
  __device__ uint32_t weights(int head, int slot) const {
    return word[head][slot / kHalf * kHalf + slot % kHalf / 2];
  }
};

// blockIdx: cluster rank, head tile, row.
__global__ void __launch_bounds__(kThreads)
    attend_kernel(const __grid_constant__ AttendArgs args, int window_slots, int slots, int first_row,
                  float scale) {
  auto* const splits = dynamic_shared<SplitRows>();                             // [slots / kSplit]
  auto* const keys = reinterpret_cast<const float**>(splits + slots / kSplit);  // [slots]
  __shared__ float maxima[kCluster][kWarps][kHeadTile];
  __shared__ float most[kHeadTile];
  __shared__ float totals[kSplitsMax][kHeadTile];
  cg::cluster_group cluster = cg::this_cluster();
  const int rank = static_cast<int>(cluster.block_rank());
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int row = first_row + static_cast<int>(blockIdx.z);
  const int first_head = static_cast<int>(blockIdx.y) * kHeadTile;
  const int c = args.head_dim;
  wait_for_previous();
  const int used = used_slots(args, window_slots, row);
  for (int slot = thread; slot < slots; slot += kThreads) keys[slot] = key_at(args, window_slots, row, slot);
  __syncthreads();

  const float* q = args.q.data + row * args.q.stride;
  float largest[2] = {kNegativeInfinity, kNegativeInfinity};
  cluster.sync();  // all blocks are there: their memory can be written
  for (int first_slot = rank * kKeyBlock; first_slot < used; first_slot += kCluster * kKeyBlock) {
    float sums[4] = {};
    key_products(args, q, first_head, keys[first_slot + warp * 8 + lane / 4], sums);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int slot = first_slot + warp * 8 + lane % 4 * 2 + i % 2;
      const float logit = keys[slot] != nullptr ? sums[i] * scale : kNegativeInfinity;
      largest[i / 2] = fmaxf(largest[i / 2], logit);
      uint32_t* here = &splits[slot / kSplit].word[lane / 4 + i / 2 * 8][slot % kSplit];
      for (int other = 0; other < kCluster; ++other)
        *cluster.map_shared_rank(here, other) = __float_as_uint(logit);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float value = warp_max(largest[half], 4);
    float* here = &maxima[rank][warp][half * 8 + lane / 4];
    if (lane % 4 == 0) {
      for (int other = 0; other < kCluster; ++other) *cluster.map_shared_rank(here, other) = value;
    }
  }
  cluster.sync();  // the last time that a block looks at another's memory
  if (thread < kHeadTile) {
    float value = kNegativeInfinity;
    for (int i = 0; i < kCluster * kWarps; ++i) value = fmaxf(value, maxima[i / kWarps][i % kWarps][thread]);
    most[thread] = value;
  }
  __syncthreads();

  // Weights: two lanes per head, a half of a split's slots each, in order.
  const int split_count = (used + kSplit - 1) / kSplit;
  for (int split = warp; split < split_count; split += kWarps) {
    const int head = lane / 2;
    const bool real = first_head + head < args.heads;
    const float bound = most[head];
    uint32_t* words = splits[split].word[head] + lane % 2 * kHalf;
    float total = 0.0f;
    const auto weight_at = [&](int i) {
      const bool used_slot = keys[split * kSplit + lane % 2 * kHalf + i] != nullptr;
      const float weight = real && used_slot ? expf(__uint_as_float(words[i]) - bound) : 0.0f;
      total += weight;
      return weight;
    };
    for (int i = 0; i < kHalf; i += 2) {
      const float first = weight_at(i);
      const float second = weight_at(i + 1);
      words[i / 2] = pack_bf16(first, second);  // behind what is still to be read
    }
    const float other = __shfl_xor_sync(~0u, total, 1);
    if (lane % 2 == 0) totals[split][head] = total + other;
  }
  __syncthreads();

  for (int column = rank * kBlockColumns + warp * kColumns; column < c; column += kCluster * kBlockColumns) {
    // Column 2n+i of the warp is column n of tile i, so that a lane's keys are 8 bytes wide.
    float sums[2][4] = {};
    for (int split = 0; split < split_count; ++split) {
      float parts[2][4] = {};
#pragma unroll 2
      for (int k = 0; k < kSplit; k += 16) {
        float2 x[4];  // keys 2t, 2t+1, 2t+8, 2t+9
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* key = keys[split * kSplit + k + lane % 4 * 2 + i % 2 + i / 2 * 8];
          x[i] = key != nullptr ? *reinterpret_cast<const float2*>(key + column + lane / 4 * 2)
                                : make_float2(0, 0);
        }
        const uint32_t low[2] = {splits[split].weights(lane / 4, k + lane % 4 * 2),
                                 splits[split].weights(lane / 4, k + lane % 4 * 2 + 8)};
        const uint32_t high[2] = {splits[split].weights(lane / 4 + 8, k + lane % 4 * 2),
                                  splits[split].weights(lane / 4 + 8, k + lane % 4 * 2 + 8)};
        mma_bf16(parts[0], low[0], high[0], low[1], high[1], pack_bf16(x[0].x, x[1].x),
                 pack_bf16(x[2].x, x[3].x));
        mma_bf16(parts[1], low[0], high[0], low[1], high[1], pack_bf16(x[0].y, x[1].y),
                 pack_bf16(x[2].y, x[3].y));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[0][i] += parts[0][i];
        sums[1][i] += parts[1][i];
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int head = lane / 4 + half * 8;
      if (first_head + head >= args.heads) continue;
      float total = 0.0f;
      for (int split = 0; split < split_count; ++split) total += totals[split][head];
      total += expf(args.sink[first_head + head] - most[head]);
      const int rope = args.inverse.rope_dim;
      float* out = args.out.data + row * args.out.stride + static_cast<int64_t>(first_head + head) * c;
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const int first = column + lane % 4 * 4 + pair * 2;
        float2 value =
            make_float2(rb(sums[0][half * 2 + pair] / total), rb(sums[1][half * 2 + pair] / total));
        if (first >= c - rope) {
          value =
              rotate<true>(value, args.inverse.data + static_cast<int64_t>(row) * rope + first - (c - rope));
          value = make_float2(rb(value.x), rb(value.y));
        }
        *reinterpret_cast<float2*>(out + first) = value;
      }
    }
  }
}

}  // namespace

bool fits_cluster(const AttendArgs& args, int32_t rows) {
  return rows <= kFewRows && args.head_dim % kBlockColumns == 0 && args.q.stride % 4 == 0 &&
         slot_count(args) <= kSplitsMax * kSplit;
}

void attend_cluster(Queue queue, const AttendArgs& args, int32_t first_row, int32_t rows, float scale) {
  const int slots = slot_count(args);
  const size_t bytes = static_cast<size_t>(slots / kSplit) * sizeof(SplitRows) +
                       static_cast<size_t>(slots) * sizeof(const float*);
  launch(queue, attend_kernel, dim3(kCluster, ceil_div(args.heads, kHeadTile), static_cast<unsigned>(rows)),
         kThreads, bytes, kCluster, args, window_slots(args), slots, first_row, scale);
}

}  // namespace ft::cuda
