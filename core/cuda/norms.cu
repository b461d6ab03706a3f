// RMS norm.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

constexpr int kNormThreads = 256;

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

}  // namespace

void rms_norm(Queue queue, bool official, Matrix x, const float* weight, float eps, Matrix y) {
  launch(queue, official ? rms_norm_kernel<true> : rms_norm_kernel<false>,
         dim3(static_cast<unsigned>(x.rows)), kNormThreads, 0, 1, x, weight, eps, y);
}

}  // namespace ft::cuda
