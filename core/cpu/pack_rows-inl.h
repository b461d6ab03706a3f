// Packed rows of a cache (core/cache_rows.h) from float32 rows.
// Included once per instruction set.
#if defined(FT_CORE_CPU_PACK_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_PACK_ROWS_INL_H_
#undef FT_CORE_CPU_PACK_ROWS_INL_H_
#else
#define FT_CORE_CPU_PACK_ROWS_INL_H_
#endif

#include "core/cache_rows.h"
#include "core/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// `row` is as official numerics leave it.
HWY_INLINE void pack_key_row(const float* row, int64_t head_dim, int64_t rope_dim, uint8_t* packed) {
  const int64_t plain = head_dim - rope_dim;
  if (plain % kQ8SimGroup != 0 || rope_dim % kLanes != 0) return pack_key(row, head_dim, rope_dim, packed);
  const D d;
  const hn::Rebind<int16_t, D> d16;
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
  store_bf16(row + plain, rope_dim, reinterpret_cast<uint16_t*>(packed + rope_offset));
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
