// Packed rows of a cache (core/cache_rows.h) as kernels read them.
// Included once per instruction set.
#if defined(FT_CORE_CPU_LOAD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_LOAD_ROWS_INL_H_
#undef FT_CORE_CPU_LOAD_ROWS_INL_H_
#else
#define FT_CORE_CPU_LOAD_ROWS_INL_H_
#endif

#include "core/cache_rows.h"
#include "core/cpu/numbers-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC target("avx512bf16")  // see panel-inl.h
#endif
namespace ft::cpu::HWY_NAMESPACE {

// Columns that are decoded together, put back in order and multiplied by `factor`.
template <class Decode>
HWY_INLINE void store_in_order(const typename Decode::Raw& raw, V factor, float* out) {
  const D d;
  constexpr int kVectors = kGroup / kLanes;
  for (int g = 0; g < Decode::kStepGroups; ++g, out += kGroup) {
    for (int v = 0; v < kVectors / 2; ++v) {
      hn::StoreInterleaved2(hn::Mul(Decode::vector(raw, g * kVectors + kVectors / 2 + v), factor),
                            hn::Mul(Decode::vector(raw, g * kVectors + v), factor), d, out + v * 2 * kLanes);
    }
  }
}

// Decoded columns times `factor`, a power of two, to a row whose lanes are columns (numbers-inl.h).
template <class Decode>
HWY_INLINE void store_paired(const typename Decode::Raw& raw, float factor, float* out) {
  constexpr int kVectors = Decode::kStepGroups * kGroup / kLanes;
  for (int v = 0; v < kVectors; ++v)
    hn::StoreU(hn::Mul(Decode::vector(raw, v), hn::Set(D(), factor)), D(), out + v * kLanes);
}
#if HWY_TARGET == HWY_AVX3_DL
template <class Decode>
HWY_INLINE void store_paired(const typename Decode::Raw& raw, float factor, uint16_t* out) {
  // The exponents go up or down by that of the factor; zero has none.
  const __m512i change =
      _mm512_set1_epi16(static_cast<int16_t>(((std::bit_cast<uint32_t>(factor) >> 23) - 127) << 7));
  for (int g = 0; g < Decode::kStepGroups; ++g) {
    const __m512i values = raw.pairs[g].raw;
    const __mmask32 is_number = _mm512_test_epi16_mask(values, _mm512_set1_epi16(0x7fff));
    _mm512_storeu_si512(out + g * kGroup, _mm512_mask_add_epi16(values, is_number, values, change));
  }
}
#endif

// A packed key as a row whose lanes are columns; `row` is for rows that are unusual.
template <class Numbers>
HWY_INLINE void load_packed_key(const uint8_t* packed, int64_t head_dim, int64_t rope_dim, float* row,
                                typename Numbers::Element* key) {
  const int64_t plain = head_dim - rope_dim;
  constexpr int kColumns = DecodeFp8::kStepGroups * kGroup;
  static_assert(kQ8SimGroup % kColumns == 0);
  if (plain % kColumns != 0 || rope_dim % kGroup != 0) {
    unpack_key(packed, head_dim, rope_dim, row);
    return Numbers::convert(row, whole_groups(head_dim), true, key);
  }
  for (int64_t c = 0; c < plain; c += kColumns)
    store_paired<DecodeFp8>(DecodeFp8::raw(packed + c, nullptr),
                            kE8m0Times256[packed[plain + c / kQ8SimGroup]], key + c);
  const uint8_t* rope = packed + packed_rope_offset(head_dim, rope_dim);
  for (int64_t c = 0; c < rope_dim; c += kGroup)
    store_paired<DecodeBf16>(DecodeBf16::raw(rope + 2 * c, nullptr), 1.0f, key + plain + c);
}

HWY_INLINE void unpack_index_row(const uint8_t* packed, int64_t head_dim, float* row) {
  if (head_dim % kGroup != 0) return unpack_index_key(packed, head_dim, row);
  const uint8_t* scales = packed + head_dim / 2;
  for (int64_t c = 0; c < head_dim; c += kGroup) {
    store_in_order<DecodeFp4>(DecodeFp4::raw(packed + c / 2, scales + c / kGroup), hn::Set(D(), 1.0f),
                              row + c);
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
