// The ends of a mixture of experts, as a warp or a block of any kernel does them: routing of a row, the sort of (row,
// expert) pairs by expert, the input of the experts, and the sum of what they give.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/moe_layout.h"
#include "core/cuda/shard_tree.cuh"
#include "core/cuda/weight_tiles.cuh"

namespace ft::cuda {

__device__ __forceinline__ float softplus(float x) {
  return x > 20.0f ? x : log1pf(expf(x));
}

// Floats of shared memory that a warp routes in.
__host__ __device__ constexpr int route_floats(int experts, int k) {
  return 2 * experts + k;
}

// Row r by one warp. `scratch` holds route_floats().
__device__ __forceinline__ void route_row(const RouteCall& call, int64_t r, float* scratch) {
  const int experts = call.experts;
  const int k = call.k;
  float* scores = scratch;                                       // [experts]
  float* keys = scores + experts;                                // [experts]
  int32_t* chosen = reinterpret_cast<int32_t*>(keys + experts);  // [k]
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int e = lane; e < experts; e += 32) {
    scores[e] = sqrtf(softplus(__ldcg(call.logits + r * experts + e)));
    keys[e] = call.bias != nullptr ? scores[e] + call.bias[e] : 0.0f;
  }
  __syncwarp();
  for (int i = 0; i < k; ++i) {
    int best = -1;
    if (call.tid2eid != nullptr) {
      best = call.tid2eid[static_cast<int64_t>(call.tokens[r]) * k + i];
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
      if (call.tid2eid == nullptr) keys[best] = kNegativeInfinity;
    }
    __syncwarp();
  }
  if (lane == 0) {
    for (int i = 1; i < k; ++i) {
      const int id = chosen[i];
      int j = i;
      for (; j > 0 && chosen[j - 1] > id; --j) chosen[j] = chosen[j - 1];
      chosen[j] = id;
    }
    float sum = 0.0f;
    for (int i = 0; i < k; ++i) sum += scores[chosen[i]];
    for (int i = 0; i < k; ++i) {
      call.ids[r * k + i] = chosen[i];
      call.weights[r * k + i] = scores[chosen[i]] / sum * call.route_scale;
    }
  }
  __syncwarp();
}

// Expert counts, the experts with rows in ascending id, and each expert's pairs in ascending order, by a block.
// Pair p is slot p % k of row p / k. `counts` holds an int32_t for each expert.
__device__ __forceinline__ void plan_pairs(const int32_t* ids, int pairs, int experts, const MoePlan& plan,
                                           int32_t* counts) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int e = warp; e < experts; e += warps) {
    int count = 0;
    for (int first = 0; first < pairs; first += 32) {
      const bool hit = first + lane < pairs && ids[first + lane] == e;
      count += __popc(__ballot_sync(~0u, hit));
    }
    if (lane == 0) counts[e] = count;
  }
  __syncthreads();
  if (warp == 0) {
    int offset = 0;
    int active = 0;
    for (int first = 0; first < experts; first += 32) {
      const int e = first + lane;
      const int count = e < experts ? counts[e] : 0;
      int sum = count;  // inclusive over the lanes
      for (int distance = 1; distance < 32; distance *= 2) {
        const int below = __shfl_up_sync(~0u, sum, distance);
        if (lane >= distance) sum += below;
      }
      const uint32_t used = __ballot_sync(~0u, count > 0);
      if (count > 0) {
        const int slot = active + __popc(used & ((1u << lane) - 1u));
        plan.expert[slot] = e;
        plan.offset[slot] = offset + sum - count;
        plan.count[slot] = count;
      }
      if (e < experts) counts[e] = offset + sum - count;
      offset += __shfl_sync(~0u, sum, 31);
      active += __popc(used);
    }
    if (lane == 0) *plan.active = active;
  }
  __syncthreads();
  for (int e = warp; e < experts; e += warps) {
    int at = counts[e];
    for (int first = 0; first < pairs; first += 32) {
      const bool hit = first + lane < pairs && ids[first + lane] == e;
      const uint32_t hits = __ballot_sync(~0u, hit);
      if (hit) plan.pair[at + __popc(hits & ((1u << lane) - 1u))] = first + lane;
      at += __popc(hits);
    }
  }
}

__host__ __device__ constexpr bool is_quantized(WeightFormat format) {
  return format == WeightFormat::kFp8Block || format == WeightFormat::kFp4Row;
}

template <WeightFormat kFormat>
__device__ __forceinline__ void store_unit(float (&x)[8], int64_t r, int unit, int row_units, uint4* out) {
  out[r * row_units + unit_place<kFormat>(unit)] = Tile<kFormat>::arrange(x);
}

__device__ __forceinline__ void store_unit_as(WeightFormat format, float (&x)[8], int64_t r, int unit,
                                              int row_units, uint4* out) {
  switch (format) {
    case WeightFormat::kFp8Block:
      store_unit<WeightFormat::kFp8Block>(x, r, unit, row_units, out);
      break;
    case WeightFormat::kFp4Row:
      store_unit<WeightFormat::kFp4Row>(x, r, unit, row_units, out);
      break;
    default:
      store_unit<WeightFormat::kBF16>(x, r, unit, row_units, out);
      break;
  }
}

// The input of the experts as units: what MoeScratch holds of it.
struct ExpertInput {
  Matrix x;
  WeightFormat routed;
  WeightFormat shared;
  uint4* routed_units;  // [rows, cols/8]
  uint4* shared_units;
};

inline ExpertInput expert_input(const Matrix& x, const ExpertTable& table, const MoeScratch& scratch) {
  return {x, table.routed_format, table.shared_format, static_cast<uint4*>(scratch.routed_input),
          static_cast<uint4*>(scratch.shared_input)};
}

// Unit `i` of all rows, one thread per unit; whole warps call it, also beyond the end.
__device__ __forceinline__ void make_expert_unit(const ExpertInput& input, int64_t i) {
  const int row_units = static_cast<int>(input.x.cols / 8);
  const int64_t at = min(i, input.x.rows * row_units - 1);
  const int64_t r = at / row_units;
  const int unit = static_cast<int>(at % row_units);
  const float* from = input.x.data + r * input.x.stride + unit * 8;
  float plain[8];
  float quantized[8];
  float largest = 0.0f;
  for (int j = 0; j < 8; ++j) {
    plain[j] = from[j];
    largest = fmaxf(largest, fabsf(plain[j]));
  }
  const int exponent = q8_exponent(warp_max(largest, 16));
  for (int j = 0; j < 8; ++j) quantized[j] = q8_round(plain[j], exponent);
  if (i != at) return;
  store_unit_as(input.routed, is_quantized(input.routed) ? quantized : plain, r, unit, row_units,
                input.routed_units);
  store_unit_as(input.shared, is_quantized(input.shared) ? quantized : plain, r, unit, row_units,
                input.shared_units);
}

// The places of a row's experts in ascending id: order[i] is the slot of the i-th. k threads call it, `slot` each.
__device__ __forceinline__ void sort_slot(const int32_t* ids, int k, int slot, int* order) {
  int rank = 0;
  for (int other = 0; other < k; ++other)
    rank += ids[other] < ids[slot] || (ids[other] == ids[slot] && other < slot) ? 1 : 0;
  order[rank] = slot;
}

// Column i of row r: the tree over the shards of the sum of the row's experts in ascending id, then the shared one.
// `out`: MoeScratch; it may have been written by other blocks of this launch.
__device__ __forceinline__ float combine_experts(const float* out, const int* order, int64_t rows, int k,
                                                 int parts, int64_t cols, int64_t r, int64_t i) {
  float sums[kParts] = {};
  const auto add = [&](int64_t pair) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      if (part < parts) sums[part] += __ldcg(out + (pair * parts + part) * cols + i);
    }
  };
#pragma unroll 2
  for (int slot = 0; slot < k; ++slot) add(r * k + order[slot]);
  add(rows * k + r);
  return tree_sum(parts, [&](int part) { return sums[part]; });
}

}  // namespace ft::cuda
