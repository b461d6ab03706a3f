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

// fp4 weights as integers. The groups of a block of 128 columns have scales of their own; a weight of a group
// whose scale byte is `shift` - kScaleReach above that of the first group is 2 * e2m1 << shift, in units of
// 2^(first - 127 - 1 - kScaleReach).
inline constexpr int kScaleReach = 3;
struct alignas(64) CodeTable {
  int16_t words[32];  // twice the sixteen, for look-ups that read five bits of an index
  uint8_t low[16];    // the two bytes of each
  uint8_t high[16];
};
constexpr std::array<CodeTable, 2 * kScaleReach + 1> code_tables() {
  std::array<CodeTable, 2 * kScaleReach + 1> tables{};
  for (int shift = 0; shift <= 2 * kScaleReach; ++shift) {
    for (int code = 0; code < 32; ++code) {
      const float doubled = 2.0f * e2m1_to_f32(static_cast<uint8_t>(code % 16));
      const auto word = static_cast<int16_t>(static_cast<int>(doubled) * (1 << shift));
      tables[shift].words[code] = word;
      if (code >= 16) continue;
      tables[shift].low[code] = static_cast<uint8_t>(word & 0xff);
      tables[shift].high[code] = static_cast<uint8_t>(static_cast<uint16_t>(word) >> 8);
    }
  }
  return tables;
}
inline constexpr std::array<CodeTable, 2 * kScaleReach + 1> kCodeTables = code_tables();

// ue8m0 byte of the first group of a block to the unit of the block's products with the fine and with the coarse parts
// of activations (CodeBlock): that of the weights times 2^-9, and eight times as much.
inline constexpr std::array<float, 256> kFineUnit = e8m0_table(-1 - kScaleReach - 9);
inline constexpr std::array<float, 256> kCoarseUnit = e8m0_table(-1 - kScaleReach - 6);

}  // namespace ft::cpu
