// A compressed entry (docs/spec/model.md 3.5), by a block of any kernel.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/vector_ops.cuh"
#include "core/layer_kind.h"

namespace ft::cuda {

// Bytes of shared memory that a block makes an entry in.
inline size_t entry_bytes(const CompressJob& job) {
  const auto source_count = static_cast<size_t>(pooled_blocks(job.ratio) * job.ratio);
  return (static_cast<size_t>(job.head_dim) + source_count) * sizeof(float);
}

// Entry `entry` of the job, a thread per channel (looping where there are more); then the first warp finishes the
// vector. `shared` holds entry_bytes().
template <bool kOfficial>
__device__ void make_entry(const CompressJob& job, int64_t entry, float eps, float* shared) {
  const float* state = job.state;
  const int ratio = job.ratio;
  const int blocks = pooled_blocks(ratio);
  const int head_dim = job.head_dim;
  const RotationTable& rotations = job.rotations;
  float* row = shared;                                                 // [head_dim]
  int32_t* addresses = reinterpret_cast<int32_t*>(shared + head_dim);  // [source_count]
  const int source_count = blocks * ratio;
  const int64_t width = static_cast<int64_t>(blocks) * head_dim;
  const int thread = static_cast<int>(threadIdx.x);
  int found = 0;
  for (int s = thread; s < source_count; s += static_cast<int>(blockDim.x)) {
    addresses[s] = job.sources[entry * source_count + s];
    found |= addresses[s] >= 0 ? 1 : 0;
  }
  if (__syncthreads_or(found) == 0) return;  // padding of a step with fixed shapes

  for (int i = thread; i < head_dim; i += static_cast<int>(blockDim.x)) {
    // Of a CSA row the lower half of the columns belongs to the next block,
    // so the first `ratio` sources use it.
    const auto at = [&](int s) { return state + addresses[s] * 2 * width + (s >= ratio ? head_dim + i : i); };
    float largest = kNegativeInfinity;
#pragma unroll 8
    for (int s = 0; s < source_count; ++s) {
      if (addresses[s] >= 0) largest = fmaxf(largest, at(s)[width]);
    }
    float total = 0.0f;
    float sum = 0.0f;
#pragma unroll 8
    for (int s = 0; s < source_count; ++s) {
      if (addresses[s] < 0) continue;
      const float weight = expf(at(s)[width] - largest);
      total += weight;
      sum += weight * at(s)[0];
    }
    row[i] = rb<kOfficial>(sum / total);
  }
  __syncthreads();
  if (thread >= 32) return;
  const int plain = head_dim - rotations.rope_dim;
  warp_rms_norm<kOfficial>(row, head_dim, job.norm, eps);
  warp_rotate<kOfficial>(row + plain, rotations.rope_dim, rotations.data + entry * rotations.rope_dim);
  if (job.is_index_key) warp_hadamard<kOfficial>(row, head_dim);
  if (kOfficial && job.is_index_key) warp_q4sim(row, head_dim);
  if (kOfficial && !job.is_index_key) warp_q8sim(row, plain);
  float* to = job.out + static_cast<int64_t>(job.dst[entry]) * head_dim;
  for (int i = thread; i < head_dim; i += 32) to[i] = row[i];
}

}  // namespace ft::cuda
