// Compressor state and entries (docs/spec/model.md 3.5).
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/vector_ops.cuh"
#include "core/layer_kind.h"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void store_kernel(Matrix k, Matrix g, const float* ape, const int32_t* positions, int ratio,
                             float* state, const int32_t* dst) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t r = blockIdx.y;
  const int64_t width = k.cols;
  wait_for_previous();
  if (i >= width) return;
  float* row = state + static_cast<int64_t>(dst[r]) * 2 * width;
  row[i] = k.data[r * k.stride + i];
  row[width + i] = g.data[r * g.stride + i] + ape[positions[r] % ratio * width + i];
}

// One block per entry, a thread per channel (looping where there are more);
// then the first warp finishes the vector.
template <bool kOfficial>
__global__ void __launch_bounds__(512)
    compress_kernel(const float* state, const int32_t* sources, int ratio, int blocks, int head_dim,
                    const float* norm, float eps, RotationTable rotations, bool is_index_key, float* out,
                    const int32_t* dst) {
  extern __shared__ float shared[];
  float* row = shared;                                                 // [head_dim]
  int32_t* addresses = reinterpret_cast<int32_t*>(shared + head_dim);  // [source_count]
  const int source_count = blocks * ratio;
  const int64_t width = static_cast<int64_t>(blocks) * head_dim;
  const int64_t entry = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  wait_for_previous();
  int found = 0;
  for (int s = thread; s < source_count; s += static_cast<int>(blockDim.x)) {
    addresses[s] = sources[entry * source_count + s];
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
  warp_rms_norm<kOfficial>(row, head_dim, norm, eps);
  warp_rotate<kOfficial>(row + plain, rotations.rope_dim, rotations.data + entry * rotations.rope_dim);
  if (is_index_key) warp_hadamard<kOfficial>(row, head_dim);
  if (kOfficial && is_index_key) warp_q4sim(row, head_dim);
  if (kOfficial && !is_index_key) warp_q8sim(row, plain);
  float* to = out + static_cast<int64_t>(dst[entry]) * head_dim;
  for (int i = thread; i < head_dim; i += 32) to[i] = row[i];
}

}  // namespace

void store_compressor_rows(Queue queue, Matrix k, Matrix g, const float* ape, const int32_t* positions,
                           int ratio, float* state, const int32_t* dst) {
  launch(queue, store_kernel, dim3(ceil_div(k.cols, kThreads), static_cast<unsigned>(k.rows)), kThreads, 0, 1,
         k, g, ape, positions, ratio, state, dst);
}

void compress(Queue queue, bool official, const float* state, const int32_t* sources, int64_t count,
              int ratio, int64_t head_dim, const float* norm, float eps, RotationTable rotations,
              bool is_index_key, float* out, const int32_t* dst) {
  const int blocks = pooled_blocks(ratio);
  const int64_t source_count = int64_t{blocks} * ratio;
  const unsigned threads = head_dim >= 512 ? 512 : ceil_div(head_dim, 32) * 32;
  launch(queue, official ? compress_kernel<true> : compress_kernel<false>, dim3(static_cast<unsigned>(count)),
         threads, static_cast<size_t>(head_dim + source_count) * sizeof(float), 1, state, sources, ratio,
         blocks, static_cast<int>(head_dim), norm, eps, rotations, is_index_key, out, dst);
}

}  // namespace ft::cuda
