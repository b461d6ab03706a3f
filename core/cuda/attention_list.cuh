// The list of keys of a row, in slots: the window, padded to whole key blocks, then the compressed entries. Slots and
// splits are positions in the list, so a row's sums are the same whatever else is in the call, and whichever kernel
// makes them.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/cuda/entry_address.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

inline constexpr int kKeyBlock = 32;  // slots whose logits are made together
inline constexpr int kSplit = 128;    // slots of a split: one chain of sums
inline constexpr int kHeadTile = 16;  // heads of a tensor-core tile

inline int window_slots(const AttendArgs& args) {
  return static_cast<int>(ceil_div(args.window_width, kKeyBlock)) * kKeyBlock;
}

// Of the longest row, a multiple of kSplit.
inline int slot_count(const AttendArgs& args) {
  const int entries = args.has_view ? args.visible_max : args.selected_width;
  return static_cast<int>(ceil_div(window_slots(args) + entries, kSplit)) * kSplit;
}

// Slots that row `row` uses; the rest of its list is empty.
__device__ __forceinline__ int used_slots(const AttendArgs& args, int window_slots, int row) {
  return window_slots + (args.has_view ? visible_entries(args.view, row) : args.selected_width);
}

// The key in a slot of row `row`, or null.
__device__ __forceinline__ const float* key_at(const AttendArgs& args, int window_slots, int row, int slot) {
  if (slot < window_slots) {
    if (slot >= args.window_width) return nullptr;
    const int32_t address = args.window[static_cast<int64_t>(row) * args.window_width + slot];
    return address < 0 ? nullptr : args.raw + static_cast<int64_t>(address) * args.head_dim;
  }
  const int j = slot - window_slots;
  int32_t address = -1;
  if (args.has_view) {
    if (j < visible_entries(args.view, row)) address = entry_address(args.view, row, j);
  } else if (j < args.selected_width) {
    address = args.selected[static_cast<int64_t>(row) * args.selected_width + j];
  }
  return address < 0 ? nullptr : args.compressed + static_cast<int64_t>(address) * args.head_dim;
}

// By tensor core: q . K of sixteen heads from `first_head` on and eight keys, of which lane 4g+t passes key g, maybe
// null. Sums of lane 4g+t: heads g (two) and g+8 (two), keys 2t and 2t+1. q: of the row.
__device__ __forceinline__ void key_products(const AttendArgs& args, const float* q, int first_head,
                                             const float* key, float (&sums)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int c = args.head_dim;
  // Lane 4g+t holds columns 4t..4t+3 of each 16: heads g and g+8, key g.
  const float* low = q + min(first_head + lane / 4, args.heads - 1) * c + lane % 4 * 4;
  const float* high = q + min(first_head + lane / 4 + 8, args.heads - 1) * c + lane % 4 * 4;
  if (key != nullptr) key += lane % 4 * 4;
#pragma unroll 8
  for (int k = 0; k < c; k += 16) {
    const float4 a = *reinterpret_cast<const float4*>(low + k);
    const float4 b = *reinterpret_cast<const float4*>(high + k);
    const float4 x = key != nullptr ? *reinterpret_cast<const float4*>(key + k) : make_float4(0, 0, 0, 0);
    mma_bf16(sums, pack_bf16(a.x, a.y), pack_bf16(b.x, b.y), pack_bf16(a.z, a.w), pack_bf16(b.z, b.w),
             pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
  }
}

// Whether attend_cluster() takes a call of official numerics, and attention of all rows by it, in one launch.
bool fits_cluster(const AttendArgs& args, int32_t rows);
void attend_cluster(Queue queue, const AttendArgs& args, int32_t first_row, int32_t rows, float scale);

}  // namespace ft::cuda
