// Compressed entries (docs/spec/model.md 3.5).
#include <algorithm>

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/vector_ops.cuh"
#include "core/layer_kind.h"

namespace ft::cuda {

namespace {

constexpr unsigned kThreadsMax = 512;

struct Jobs {
  CompressJob job[kCompressJobs];
  int count;
};

// One block per entry, a thread per channel (looping where there are more);
// then the first warp finishes the vector.
template <bool kOfficial>
__global__ void __launch_bounds__(kThreadsMax) compress_kernel(const __grid_constant__ Jobs jobs, float eps) {
  auto* const shared = dynamic_shared<float>();
  int index = 0;
  int64_t entry = blockIdx.x;
  while (index + 1 < jobs.count && entry >= jobs.job[index].count) entry -= jobs.job[index++].count;
  const CompressJob& job = jobs.job[index];
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
  wait_for_previous();
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

}  // namespace

void compress(Queue queue, bool official, float eps, const CompressJob* list, int count) {
  Jobs jobs = {};
  jobs.count = count;
  unsigned entries = 0;
  unsigned threads = 0;
  size_t shared = 0;
  for (int i = 0; i < count; ++i) {
    const CompressJob& job = jobs.job[i] = list[i];
    const auto source_count = static_cast<size_t>(pooled_blocks(job.ratio) * job.ratio);
    entries += static_cast<unsigned>(job.count);
    threads = std::max(threads, std::min(kThreadsMax, ceil_div(job.head_dim, 32) * 32));
    shared = std::max(shared, (static_cast<size_t>(job.head_dim) + source_count) * sizeof(float));
  }
  launch(queue, official ? compress_kernel<true> : compress_kernel<false>, dim3(entries), threads, shared, 1,
         jobs, eps);
}

}  // namespace ft::cuda
