// One warp on one vector in shared memory: the steps between a projection and the cache. Each ends with the
// vector visible to the whole warp.
#pragma once

#include "core/cuda/device_math.cuh"

namespace ft::cuda {

// x := rb(x * rsqrt(mean(x^2) + eps) * weight)
template <bool kOfficial>
__device__ void warp_rms_norm(float* x, int count, const float* weight, float eps) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float squares = 0.0f;
  for (int i = lane; i < count; i += 32) squares += x[i] * x[i];
  const float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(count) + eps);
  for (int i = lane; i < count; i += 32) x[i] = rb<kOfficial>(x[i] * factor * weight[i]);
  __syncwarp();
}

// Turns interleaved pairs of the `rope_dim` values at x, then rb().
template <bool kOfficial>
__device__ void warp_rotate(float* x, int rope_dim, const float* cos_sin) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = lane; i < rope_dim / 2; i += 32) {
    const float2 turned = rotate<false>(make_float2(x[2 * i], x[2 * i + 1]), cos_sin + 2 * i);
    x[2 * i] = rb<kOfficial>(turned.x);
    x[2 * i + 1] = rb<kOfficial>(turned.y);
  }
  __syncwarp();
}

// Butterflies in the order of hadamard() in core/quantize.h, then rb(). `count` is a power of two.
template <bool kOfficial>
__device__ void warp_hadamard(float* x, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int distance = 1; distance < count; distance *= 2) {
    for (int b = lane; b < count / 2; b += 32) {
      const int i = (b / distance) * 2 * distance + b % distance;
      const float low = x[i];
      const float high = x[i + distance];
      x[i] = low + high;
      x[i + distance] = low - high;
    }
    __syncwarp();
  }
  const float scale = 1.0f / sqrtf(static_cast<float>(count));
  for (int i = lane; i < count; i += 32) x[i] = rb<kOfficial>(x[i] * scale);
  __syncwarp();
}

// q8sim() of core/quantize.h; the last group may be short.
__device__ inline void warp_q8sim(float* x, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int start = 0; start < count; start += static_cast<int>(kQ8SimGroup)) {
    const int i = start + lane;
    const int j = i + 32;
    const float low = i < count ? x[i] : 0.0f;
    const float high = j < count ? x[j] : 0.0f;
    const int exponent = q8_exponent(warp_max(fmaxf(fabsf(low), fabsf(high))));
    if (i < count) x[i] = q8_round(low, exponent);
    if (j < count) x[j] = q8_round(high, exponent);
  }
  __syncwarp();
}

// q4sim() of core/quantize.h; the last group may be short.
__device__ inline void warp_q4sim(float* x, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int start = 0; start < count; start += static_cast<int>(kQ4SimGroup)) {
    const int i = start + lane;
    const float value = i < count ? x[i] : 0.0f;
    const int exponent = q4_exponent(warp_max(fabsf(value)));
    if (i < count) x[i] = q4_value(value, exponent);
  }
  __syncwarp();
}

}  // namespace ft::cuda
