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

// The sixteen e2m1 values, and the high byte of each as a float16 (the low byte is zero).
alignas(64) inline constexpr float kE2m1[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                                -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
alignas(16) inline constexpr uint8_t kE2m1HighHalf[16] = {0x00, 0x38, 0x3c, 0x3e, 0x40, 0x42, 0x44, 0x46,
                                                          0x80, 0xb8, 0xbc, 0xbe, 0xc0, 0xc2, 0xc4, 0xc6};

}  // namespace ft::cpu
