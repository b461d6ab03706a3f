// Packed rows of a cache (core/cache_rows.h) to and from float32 rows.
// Included once per instruction set.
#if defined(FT_CORE_CPU_CACHE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_CACHE_ROWS_INL_H_
#undef FT_CORE_CPU_CACHE_ROWS_INL_H_
#else
#define FT_CORE_CPU_CACHE_ROWS_INL_H_
#endif

#include "core/cache_rows.h"
#include "core/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
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

HWY_INLINE void unpack_key_row(const uint8_t* packed, int64_t head_dim, int64_t rope_dim, float* row) {
  const int64_t plain = head_dim - rope_dim;
  constexpr int kColumns = DecodeFp8::kStepGroups * kGroup;
  static_assert(kQ8SimGroup % kColumns == 0);
  if (plain % kColumns != 0 || rope_dim % kLanes != 0) return unpack_key(packed, head_dim, rope_dim, row);
  const D d;
  const DU du;
  const hn::Rebind<uint16_t, D> d16;
  for (int64_t c = 0; c < plain; c += kColumns) {
    store_in_order<DecodeFp8>(DecodeFp8::raw(packed + c, nullptr),
                              hn::Set(d, kE8m0Times256[packed[plain + c / kQ8SimGroup]]), row + c);
  }
  const auto* rope = reinterpret_cast<const uint16_t*>(packed + packed_rope_offset(head_dim, rope_dim));
  for (int64_t i = 0; i < rope_dim; i += kLanes) {
    const auto bits = hn::PromoteTo(du, hn::LoadU(d16, rope + i));
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(bits)), d, row + plain + i);
  }
}

// `row` is as official numerics leave it.
HWY_INLINE void pack_key_row(const float* row, int64_t head_dim, int64_t rope_dim, uint8_t* packed) {
  const int64_t plain = head_dim - rope_dim;
  if (plain % kQ8SimGroup != 0 || rope_dim % kLanes != 0) return pack_key(row, head_dim, rope_dim, packed);
  const D d;
  const DU du;
  const hn::Rebind<int16_t, D> d16;
  const hn::Rebind<uint16_t, D> du16;
  const hn::Rebind<uint8_t, D> d8;
  const hn::Rebind<hwy::float16_t, D> dh;
  const int64_t rope_offset = packed_rope_offset(head_dim, rope_dim);
  std::fill(packed + plain, packed + rope_offset, uint8_t{0});
  for (int64_t first = 0; first < plain; first += kQ8SimGroup) {
    const int exponent = std::min(E4m3::scale_exponent(max_magnitude(row + first, kQ8SimGroup)), 127);
    packed[plain + first / kQ8SimGroup] = static_cast<uint8_t>(exponent + 127);
    // As a half, an e4m3 number times 2^-8 has its bits one below each other's place (DecodeFp8).
    const V scale = hn::Set(d, exp2_int(-exponent) * 0x1p-8f);
    for (int64_t c = first; c < first + kQ8SimGroup; c += kLanes) {
      const auto half = hn::BitCast(d16, hn::DemoteTo(dh, hn::Mul(hn::LoadU(d, row + c), scale)));
      const auto sign = hn::And(hn::ShiftRight<8>(half), hn::Set(d16, int16_t{0x80}));
      const auto rest = hn::And(hn::ShiftRight<7>(half), hn::Set(d16, int16_t{0x7f}));
      hn::StoreU(hn::DemoteTo(d8, hn::Or(sign, rest)), d8, packed + c);
    }
  }
  auto* rope = reinterpret_cast<uint16_t*>(packed + rope_offset);
  for (int64_t i = 0; i < rope_dim; i += kLanes) {
    const auto bits = hn::ShiftRight<16>(hn::BitCast(du, hn::LoadU(d, row + plain + i)));
    hn::StoreU(hn::DemoteTo(du16, hn::BitCast(hn::RebindToSigned<D>(), bits)), du16, rope + i);
  }
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
