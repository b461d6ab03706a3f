#include "core/cache_rows.h"

#include <algorithm>
#include <cstring>

#include "core/dtype.h"

namespace ft {

namespace {

// ue8m0 byte of 2^exponent, at the ends of its range where the exponent lies outside.
uint8_t e8m0_of(int exponent) {
  return static_cast<uint8_t>(std::clamp(exponent + 127, 0, 254));
}

}  // namespace

void pack_key(const float* row, int64_t head_dim, int64_t rope_dim, uint8_t* packed) {
  const int64_t plain = head_dim - rope_dim, rope = packed_rope_offset(head_dim, rope_dim);
  std::memset(packed + plain, 0, static_cast<size_t>(rope - plain));
  for (int64_t first = 0; first < plain; first += kQ8SimGroup) {
    const int64_t count = std::min<int64_t>(kQ8SimGroup, plain - first);
    const uint8_t scale = e8m0_of(q8_exponent(max_abs(row + first, count)));
    packed[plain + first / kQ8SimGroup] = scale;
    const float inverse = exp2_int(127 - static_cast<int>(scale));
    for (int64_t c = first; c < first + count; ++c) packed[c] = f32_to_e4m3(row[c] * inverse);
  }
  for (int64_t i = 0; i < rope_dim; ++i) {
    const uint16_t bits = f32_to_bf16(row[plain + i]);
    std::memcpy(packed + rope + 2 * i, &bits, sizeof bits);
  }
}

void unpack_key(const uint8_t* packed, int64_t head_dim, int64_t rope_dim, float* row) {
  const int64_t plain = head_dim - rope_dim, rope = packed_rope_offset(head_dim, rope_dim);
  for (int64_t c = 0; c < plain; ++c)
    row[c] = e4m3_to_f32(packed[c]) * e8m0_to_f32(packed[plain + c / kQ8SimGroup]);
  for (int64_t i = 0; i < rope_dim; ++i) {
    uint16_t bits;
    std::memcpy(&bits, packed + rope + 2 * i, sizeof bits);
    row[plain + i] = bf16_to_f32(bits);
  }
}

void pack_index_key(const float* row, int64_t head_dim, uint8_t* packed) {
  const int64_t codes = (head_dim + 1) / 2;
  std::memset(packed, 0, static_cast<size_t>(codes));
  for (int64_t first = 0; first < head_dim; first += kQ4SimGroup) {
    const int64_t count = std::min<int64_t>(kQ4SimGroup, head_dim - first);
    const uint8_t scale = e8m0_of(q4_exponent(max_abs(row + first, count)));
    packed[codes + first / kQ4SimGroup] = scale;
    const float inverse = exp2_int(127 - static_cast<int>(scale));
    for (int64_t c = first; c < first + count; ++c)
      packed[c / 2] = static_cast<uint8_t>(packed[c / 2] | f32_to_e2m1(row[c] * inverse) << (c % 2 * 4));
  }
}

void unpack_index_key(const uint8_t* packed, int64_t head_dim, float* row) {
  const uint8_t* scales = packed + (head_dim + 1) / 2;
  for (int64_t c = 0; c < head_dim; ++c) {
    const auto code = static_cast<uint8_t>(packed[c / 2] >> (c % 2 * 4) & 15);
    row[c] = e2m1_to_f32(code) * e8m0_to_f32(scales[c / kQ4SimGroup]);
  }
}

}  // namespace ft
