// Look-up tables of the stored number formats, exact by construction from core/dtype.h.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"

namespace ft::cpu {

// ue8m0 byte to its value times 2^shift (infinite where that overflows).
constexpr std::array<float, 256> e8m0_table(int shift) {
  std::array<float, 256> table{};
  for (int i = 0; i < 255; ++i) table[i] = exp2_int(i - 127 + shift);
  table[255] = e8m0_to_f32(255);
  return table;
}
inline constexpr std::array<float, 256> kE8m0 = e8m0_table(0);
inline constexpr std::array<float, 256> kE8m0Times256 = e8m0_table(8);

// The two bytes of a magnitude of e4m3 times 2^-8 as a bfloat16. (NaN, which no weight is, counts as 480 like in a
// conversion by way of float16.)
constexpr std::array<uint8_t, 128> e4m3_bytes(int byte) {
  std::array<uint8_t, 128> table{};
  for (int code = 0; code < 128; ++code) {
    const int exponent = code >> 3;
    const float mantissa = static_cast<float>(code & 7);
    const float value =
        exponent == 0 ? mantissa * exp2_int(-17) : (8.0f + mantissa) * exp2_int(exponent - 18);
    table[code] = static_cast<uint8_t>(f32_to_bf16(value) >> (8 * byte));
  }
  return table;
}
alignas(64) inline constexpr std::array<uint8_t, 128> kE4m3LowByte = e4m3_bytes(0);
alignas(64) inline constexpr std::array<uint8_t, 128> kE4m3HighByte = e4m3_bytes(1);

// The sixteen e2m1 values, and the high byte of each as a float16 (the low byte is zero).
alignas(64) inline constexpr float kE2m1[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                                -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
alignas(16) inline constexpr uint8_t kE2m1HighHalf[16] = {0x00, 0x38, 0x3c, 0x3e, 0x40, 0x42, 0x44, 0x46,
                                                          0x80, 0xb8, 0xbc, 0xbe, 0xc0, 0xc2, 0xc4, 0xc6};

// Twice the sixteen e2m1 values as integers: as words, twice over, for look-ups that read five bits of an index; and
// as bytes, for either half of a vector.
constexpr int twice_e2m1(int code) {
  return static_cast<int>(2.0f * e2m1_to_f32(static_cast<uint8_t>(code)));
}
alignas(64) inline constexpr std::array<int16_t, 32> kTwiceE2m1 = [] {
  std::array<int16_t, 32> table{};
  for (int i = 0; i < 32; ++i) table[i] = static_cast<int16_t>(twice_e2m1(i % 16));
  return table;
}();
alignas(32) inline constexpr std::array<int8_t, 32> kTwiceE2m1Bytes = [] {
  std::array<int8_t, 32> table{};
  for (int i = 0; i < 32; ++i) table[i] = static_cast<int8_t>(twice_e2m1(i % 16));
  return table;
}();

// Look-ups by which lane l of a block gets byte l / 4 of four.
alignas(64) inline constexpr std::array<uint8_t, 64> kLaneBytes = [] {
  std::array<uint8_t, 64> bytes{};
  for (int i = 0; i < 64; ++i) bytes[i] = i % 4 == 0 ? static_cast<uint8_t>(i / 16) : uint8_t{0x80};
  return bytes;
}();

}  // namespace ft::cpu
