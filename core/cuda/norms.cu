// Norms, and what follows them in place: rotation, simulated quantisation, Hadamard transform.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/vector_ops.cuh"

namespace ft::cuda {

namespace {

constexpr int kNormThreads = 256;
constexpr int kWarpsPerBlock = 4;

template <bool kOfficial>
__global__ void __launch_bounds__(kNormThreads)
    rms_norm_kernel(Matrix x, const float* weight, float eps, Matrix y) {
  __shared__ float scratch[32];
  wait_for_previous();
  const float* in = x.data + blockIdx.x * x.stride;
  float* out = y.data + blockIdx.x * y.stride;
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < x.cols; i += kNormThreads) squares += in[i] * in[i];
  squares = block_sum(squares, scratch);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(x.cols) + eps);
  for (int64_t i = threadIdx.x; i < x.cols; i += kNormThreads)
    out[i] = rb<kOfficial>(in[i] * factor * weight[i]);
}

// One warp per head; lane l holds the pairs l, l+32, ...
template <bool kOfficial>
__global__ void __launch_bounds__(kWarpsPerBlock * 32)
    query_kernel(Matrix q, int32_t head_dim, float eps, RotationTable rotations, int64_t vectors) {
  const int64_t vector = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  wait_for_previous();
  if (vector >= vectors) return;
  const int64_t heads = q.cols / head_dim;
  const int64_t r = vector / heads;
  float2* head = reinterpret_cast<float2*>(q.data + r * q.stride + vector % heads * head_dim);
  const int pairs = head_dim / 2;
  float sum = 0.0f;
  for (int i = lane; i < pairs; i += 32) {
    const float2 x = head[i];
    sum += rb<kOfficial>(x.x * x.x) + rb<kOfficial>(x.y * x.y);
  }
  const float mean = rb<kOfficial>(warp_sum(sum) / static_cast<float>(head_dim));
  const float factor = rb<kOfficial>(1.0f / sqrtf(rb<kOfficial>(mean + eps)));
  const int first_rotated = (head_dim - rotations.rope_dim) / 2;
  for (int i = lane; i < pairs; i += 32) {
    float2 x = head[i];
    x.x = rb<kOfficial>(x.x * factor);
    x.y = rb<kOfficial>(x.y * factor);
    if (i >= first_rotated) {
      x = rotate<false>(x, rotations.data + r * rotations.rope_dim + 2 * (i - first_rotated));
      x.x = rb<kOfficial>(x.x);
      x.y = rb<kOfficial>(x.y);
    }
    head[i] = x;
  }
}

// One warp per row, which it keeps in shared memory between the steps.
template <bool kOfficial>
__global__ void __launch_bounds__(32)
    store_kv_kernel(Matrix x, const float* norm, float eps, RotationTable rotations, float* raw,
                    const int32_t* dst) {
  extern __shared__ float row[];
  const int64_t r = blockIdx.x;
  const int width = static_cast<int>(x.cols);
  const int lane = static_cast<int>(threadIdx.x);
  wait_for_previous();
  const float* in = x.data + r * x.stride;
  for (int i = lane; i < width; i += 32) row[i] = in[i];
  __syncwarp();
  warp_rms_norm<kOfficial>(row, width, norm, eps);
  const int plain = width - rotations.rope_dim;
  warp_rotate<kOfficial>(row + plain, rotations.rope_dim, rotations.data + r * rotations.rope_dim);
  if (kOfficial) warp_q8sim(row, plain);
  float* out = raw + static_cast<int64_t>(dst[r]) * width;
  for (int i = lane; i < width; i += 32) out[i] = row[i];
}

template <bool kOfficial>
__global__ void __launch_bounds__(kWarpsPerBlock * 32)
    index_query_kernel(Matrix q, int32_t head_dim, RotationTable rotations, int64_t vectors) {
  extern __shared__ float rows[];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t vector = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  wait_for_previous();
  if (vector >= vectors) return;
  const int64_t heads = q.cols / head_dim;
  const int64_t r = vector / heads;
  float* head = q.data + r * q.stride + vector % heads * head_dim;
  float* row = rows + warp * head_dim;
  for (int i = lane; i < head_dim; i += 32) row[i] = head[i];
  __syncwarp();
  warp_rotate<kOfficial>(row + head_dim - rotations.rope_dim, rotations.rope_dim,
                         rotations.data + r * rotations.rope_dim);
  warp_hadamard<kOfficial>(row, head_dim);
  if (kOfficial) warp_q4sim(row, head_dim);
  for (int i = lane; i < head_dim; i += 32) head[i] = row[i];
}

}  // namespace

void rms_norm(Queue queue, bool official, Matrix x, const float* weight, float eps, Matrix y) {
  launch(queue, official ? rms_norm_kernel<true> : rms_norm_kernel<false>,
         dim3(static_cast<unsigned>(x.rows)), kNormThreads, 0, 1, x, weight, eps, y);
}

void query_norm_rope(Queue queue, bool official, Matrix q, int64_t head_dim, float eps,
                     RotationTable rotations) {
  const int64_t vectors = q.rows * (q.cols / head_dim);
  launch(queue, official ? query_kernel<true> : query_kernel<false>, dim3(ceil_div(vectors, kWarpsPerBlock)),
         kWarpsPerBlock * 32, 0, 1, q, static_cast<int32_t>(head_dim), eps, rotations, vectors);
}

void store_kv(Queue queue, bool official, Matrix x, const float* norm, float eps, RotationTable rotations,
              float* raw, const int32_t* dst) {
  launch(queue, official ? store_kv_kernel<true> : store_kv_kernel<false>,
         dim3(static_cast<unsigned>(x.rows)), 32, static_cast<size_t>(x.cols) * sizeof(float), 1, x, norm,
         eps, rotations, raw, dst);
}

void index_query(Queue queue, bool official, Matrix q, int64_t head_dim, RotationTable rotations) {
  const int64_t vectors = q.rows * (q.cols / head_dim);
  launch(queue, official ? index_query_kernel<true> : index_query_kernel<false>,
         dim3(ceil_div(vectors, kWarpsPerBlock)), kWarpsPerBlock * 32,
         static_cast<size_t>(kWarpsPerBlock * head_dim) * sizeof(float), 1, q, static_cast<int32_t>(head_dim),
         rotations, vectors);
}

}  // namespace ft::cuda
