// The number formats of a V4 checkpoint, exact in both directions:
// bf16, e4m3, e2m1, ue8m0 (docs/spec/model.md 2.1, 3.0).
// Scalar and constexpr; usable from CUDA code (compile with --expt-relaxed-constexpr).
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

namespace ft {

enum class DType : uint8_t { kF32, kBF16, kE4M3, kE8M0, kI8, kI32, kI64, kF64 };

// The name in a safetensors header: "F32", "BF16", "F8_E4M3", "F8_E8M0", "I8", "I32", "I64", "F64".
constexpr std::string_view safetensors_name(DType dtype) {
  constexpr std::string_view kNames[] = {"F32", "BF16", "F8_E4M3", "F8_E8M0", "I8", "I32", "I64", "F64"};
  return kNames[static_cast<int>(dtype)];
}

constexpr int byte_size(DType dtype) {
  constexpr int kSizes[] = {4, 2, 1, 1, 1, 4, 8, 8};
  return kSizes[static_cast<int>(dtype)];
}

constexpr float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest, ties to even; NaN stays NaN.
constexpr uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float round_bf16(float value) {
  return bf16_to_f32(f32_to_bf16(value));
}

// 2^exponent as a float, exact from 2^-149 (subnormal) to 2^127.
constexpr float exp2_int(int exponent) {
  if (exponent > 127) return std::numeric_limits<float>::infinity();
  if (exponent >= -126) return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
  if (exponent >= -149) return std::bit_cast<float>(1u << (exponent + 149));
  return 0.0f;
}

// ue8m0 byte b is 2^(b-127); 255 is NaN.
constexpr float e8m0_to_f32(uint8_t byte) {
  return byte == 255 ? std::numeric_limits<float>::quiet_NaN() : exp2_int(static_cast<int>(byte) - 127);
}

// The smallest power of two that is >= value, as its exponent,
// from the bits (docs/spec/model.md 3.0: never log2f). value > 0, finite.
constexpr int ceil_log2(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const int exponent = static_cast<int>(bits >> 23) - 127;
  return exponent + ((bits & 0x7fffffu) != 0 ? 1 : 0);
}

// e4m3fn: 0x7f and 0xff are NaN, no infinities, largest finite 448.
constexpr float e4m3_to_f32(uint8_t byte) {
  const uint32_t magnitude = byte & 0x7fu;
  const float sign = (byte & 0x80u) != 0 ? -1.0f : 1.0f;
  if (magnitude == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const int exponent = static_cast<int>(magnitude >> 3);
  const float mantissa = static_cast<float>(magnitude & 7u);
  return sign * (exponent == 0 ? mantissa * exp2_int(-9) : (8.0f + mantissa) * exp2_int(exponent - 10));
}

// Round to nearest, ties to even; saturates at +-448.
constexpr uint8_t f32_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint8_t sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7f);
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7e);  // >= 448
  if (magnitude < 0x3c800000u) {  // below 2^-6: subnormal codes, spacing 2^-9
    // Adding 2^14 leaves the value in units of 2^-9 in the low mantissa bits, rounded to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 16384.0f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) & 0xffu));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  const uint32_t code = (rounded >> 20) - (120u << 3);
  return static_cast<uint8_t>(sign | (code > 0x7eu ? 0x7eu : code));
}

// e2m1 codes 0..15 (bit 3 sign): 0 .5 1 1.5 2 3 4 6 and the negatives.
constexpr float e2m1_to_f32(uint8_t code) {
  constexpr float kValues[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  return (code & 8u) != 0 ? -kValues[code & 7u] : kValues[code & 7u];
}

// Round to nearest, ties to the even code; saturates at +-6.
constexpr uint8_t f32_to_e2m1(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint8_t sign = static_cast<uint8_t>((bits >> 28) & 8u);
  const float magnitude = std::bit_cast<float>(bits & 0x7fffffffu);
  uint8_t code = 0;
  if (magnitude > 5.0f)
    code = 7;
  else if (magnitude >= 3.5f)
    code = 6;
  else if (magnitude > 2.5f)
    code = 5;
  else if (magnitude >= 1.75f)
    code = 4;
  else if (magnitude > 1.25f)
    code = 3;
  else if (magnitude >= 0.75f)
    code = 2;
  else if (magnitude > 0.25f)
    code = 1;
  return static_cast<uint8_t>(sign | code);
}

}  // namespace ft
