// The rounding and quantisation of activations in the official numerics,
// as scalar code that every backend may use (backend.h; docs/spec/model.md 3.0).
// All functions change float32 values in place and are functions of the given values alone.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/dtype.h"

namespace ft {

// Consecutive elements that share a scale. A row whose length is no multiple ends with a shorter group.
inline constexpr int64_t kQ8Group = 128;
inline constexpr int64_t kQ8SimGroup = 64;
inline constexpr int64_t kQ4SimGroup = 32;

constexpr float max_abs(const float* x, int64_t count) {
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = x[i] < 0.0f ? -x[i] : x[i];
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

// Exponent of the power-of-two scale of a group with largest magnitude `amax` (finite):
// e4m3 codes times 2^exponent.
constexpr int q8_exponent(float amax) {
  const float bounded = amax > 1e-4f ? amax : 1e-4f;
  return ceil_log2(bounded * (1.0f / 448.0f));
}

// The same for e2m1 codes.
constexpr int q4_exponent(float amax) {
  constexpr float kFloor = 6.0f * exp2_int(-126);
  const float bounded = amax > kFloor ? amax : kFloor;
  return ceil_log2(bounded * (1.0f / 6.0f));
}

// e4m3_RNE(x / 2^exponent) * 2^exponent
constexpr float q8_value(float x, int exponent) {
  return e4m3_to_f32(f32_to_e4m3(x * exp2_int(-exponent))) * exp2_int(exponent);
}

// e2m1_RNE(x / 2^exponent) * 2^exponent
constexpr float q4_value(float x, int exponent) {
  return e2m1_to_f32(f32_to_e2m1(x * exp2_int(-exponent))) * exp2_int(exponent);
}

// Applies q8_value with the group's own exponent to groups of `group` elements.
constexpr void quantize_e4m3(float* x, int64_t count, int64_t group) {
  for (int64_t start = 0; start < count; start += group) {
    const int64_t size = count - start < group ? count - start : group;
    const int exponent = q8_exponent(max_abs(x + start, size));
    for (int64_t i = start; i < start + size; ++i) x[i] = q8_value(x[i], exponent);
  }
}

// q8() of backend.h: what an fp8 or fp4 linear sees of its input.
constexpr void q8(float* x, int64_t count) {
  quantize_e4m3(x, count, kQ8Group);
}

// q8sim() of backend.h. An e4m3 value times a power of two is a bf16 number:
// the final rounding changes nothing.
constexpr void q8sim(float* x, int64_t count) {
  quantize_e4m3(x, count, kQ8SimGroup);
}

// q4sim() of backend.h. The final rounding to bf16 changes nothing here either.
constexpr void q4sim(float* x, int64_t count) {
  for (int64_t start = 0; start < count; start += kQ4SimGroup) {
    const int64_t size = count - start < kQ4SimGroup ? count - start : kQ4SimGroup;
    const int exponent = q4_exponent(max_abs(x + start, size));
    for (int64_t i = start; i < start + size; ++i) x[i] = q4_value(x[i], exponent);
  }
}

// Hadamard transform in Sylvester order, x_j := n^-1/2 sum_i (-1)^popcount(i & j) x_i, n = `count` a power of
// two. Butterflies of distance 1, 2, 4, ..., then one product; all in Real.
template <class Real>
inline void hadamard(Real* x, int64_t count) {
  for (int64_t distance = 1; distance < count; distance *= 2) {
    for (int64_t start = 0; start < count; start += 2 * distance) {
      for (int64_t i = start; i < start + distance; ++i) {
        const Real low = x[i];
        const Real high = x[i + distance];
        x[i] = low + high;
        x[i + distance] = low - high;
      }
    }
  }
  const Real scale = static_cast<Real>(1.0 / std::sqrt(static_cast<double>(count)));
  for (int64_t i = 0; i < count; ++i) x[i] *= scale;
}

}  // namespace ft
