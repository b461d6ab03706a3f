// What the kernels share: rounding, quantisation, fixed-order reductions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "core/cuda/ptx.cuh"
#include "core/quantize.h"

namespace ft::cuda {

inline constexpr float kNegativeInfinity = -__builtin_huge_valf();

// rb() of core/backend.h; the identity unless kOfficial.
template <bool kOfficial = true>
__device__ __forceinline__ float rb(float x) {
  return kOfficial ? __bfloat162float(__float2bfloat16_rn(x)) : x;
}

// e4m3_RNE(x / 2^exponent) * 2^exponent, as q8_value of core/quantize.h, by the conversion instructions.
__device__ __forceinline__ float q8_round(float x, int exponent) {
  const __nv_fp8_storage_t code = __nv_cvt_float_to_fp8(x * exp2_int(-exponent), __NV_SATFINITE, __NV_E4M3);
  const __half_raw half = __nv_cvt_fp8_to_halfraw(code, __NV_E4M3);
  return __half2float(__half(half)) * exp2_int(exponent);
}

// Reductions over the lanes of a warp in a butterfly: every lane gets the same bits.
__device__ __forceinline__ float warp_sum(float value, int width = 32) {
  for (int distance = width / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

__device__ __forceinline__ float warp_max(float value, int width = 32) {
  for (int distance = width / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, distance));
  }
  return value;
}

// Sum over a block of whole warps: butterfly in each warp, then the warps in order. `scratch` holds 32
// floats; all threads get the result and may reuse the scratch after the next __syncthreads().
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  const int warps = static_cast<int>(blockDim.x) / 32;
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0.0f;
  for (int w = 0; w < warps; ++w) sum += scratch[w];
  return sum;
}

// x -> (x.a * cos - x.b * sin, x.a * sin + x.b * cos), conjugated if kInverse; without rounding.
template <bool kInverse>
__device__ __forceinline__ float2 rotate(float2 x, const float* cos_sin) {
  const float c = cos_sin[0];
  const float s = kInverse ? -cos_sin[1] : cos_sin[1];
  return make_float2(x.x * c - x.y * s, x.x * s + x.y * c);
}

__device__ __forceinline__ float sigmoid(float x) {
  return 1.0f / (1.0f + expf(-x));
}

// Two floats as bf16 in one register, `low` in the low half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ __forceinline__ float2 unpack_bf16(uint32_t pair) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

}  // namespace ft::cuda
