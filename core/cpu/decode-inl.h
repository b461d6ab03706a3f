// Weights as stored, turned into float32 vectors in registers, 32 columns at a time.
// Included once per instruction set.
//
// Columns come in "paired" order inside each group of 32: the 16 even columns, then the 16 odd ones. It is
// the order in which packed formats fall apart without shuffles (the low nibbles of 16 bytes are the even
// columns, the low halves of 16 words too); activations are brought into the same order once per call
// (PrepareJob, core/cpu/linear.h). Float32 weights stay in order.
#if defined(FT_CORE_CPU_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_DECODE_INL_H_
#undef FT_CORE_CPU_DECODE_INL_H_
#else
#define FT_CORE_CPU_DECODE_INL_H_
#endif

#include "core/cpu/lanes-inl.h"
#include "core/cpu/tables.h"

// Whether the instruction set widens float16 in hardware.
#undef FT_HALVES
#define FT_HALVES (HWY_TARGET <= HWY_AVX2)

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

inline constexpr int kGroup = 32;                 // columns decoded together
inline constexpr int kVectors = kGroup / kLanes;  // vectors they fill
inline constexpr int kBlockGroups = 4;            // groups per 128 columns, the width of an fp8 scale tile

// Each format has: its bytes per group; scale(row_scales, block), what one row needs for the 128 columns of a
// block; decode of one group of a block; scale_row, the scales of an output row.

struct DecodeF32 {
  static constexpr int kGroupBytes = 4 * kGroup;
  struct Scale {};
  static HWY_INLINE Scale scale(const uint8_t*, int64_t) { return {}; }
  static HWY_INLINE void decode(const uint8_t* data, const Scale&, int, V* w) {
    const D d;
    for (int v = 0; v < kVectors; ++v) w[v] = hn::LoadU(d, reinterpret_cast<const float*>(data) + v * kLanes);
  }
  static const uint8_t* scale_row(const uint8_t*, int64_t, int64_t) { return nullptr; }
};

struct DecodeBf16 {
  static constexpr int kGroupBytes = 2 * kGroup;
  struct Scale {};
  static HWY_INLINE Scale scale(const uint8_t*, int64_t) { return {}; }
  static HWY_INLINE void decode(const uint8_t* data, const Scale&, int, V* w) {
    const D d;
    const DU du;
    for (int v = 0; v < kVectors / 2; ++v) {
      const auto pairs = hn::LoadU(du, reinterpret_cast<const uint32_t*>(data) + v * kLanes);
      w[v] = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
      w[kVectors / 2 + v] = hn::BitCast(d, hn::And(pairs, hn::Set(du, 0xffff0000u)));
    }
  }
  static const uint8_t* scale_row(const uint8_t*, int64_t, int64_t) { return nullptr; }
};

// e4m3 through float16: sign and the seven bits below it, moved to the sign and the exponent of a half, are
// the value times 2^-8 (subnormals included), and the hardware widens halves. The scale takes the 2^8 back.
struct DecodeFp8 {
  static constexpr int kGroupBytes = kGroup;
  struct Scale {
    V value;
  };
  static HWY_INLINE Scale scale(const uint8_t* row_scales, int64_t block) {
    return {hn::Set(D(), (FT_HALVES ? kE8m0Times256 : kE8m0)[row_scales[block]])};
  }
  static HWY_INLINE void decode(const uint8_t* data, const Scale& scale, int, V* w) {
    const D d;
#if FT_HALVES
    const hn::FixedTag<int16_t, 16> d16;
    const hn::FixedTag<hwy::float16_t, 16> dh;
    const auto words = hn::LoadU(d16, reinterpret_cast<const int16_t*>(data));
    const auto mask = hn::Set(d16, static_cast<int16_t>(0xbf80));
    const auto even = hn::BitCast(dh, hn::And(hn::ShiftRight<1>(hn::ShiftLeft<8>(words)), mask));
    const auto odd = hn::BitCast(dh, hn::And(hn::ShiftRight<1>(words), mask));
#if HWY_TARGET <= HWY_AVX3
    w[0] = hn::Mul(hn::PromoteTo(d, even), scale.value);
    w[1] = hn::Mul(hn::PromoteTo(d, odd), scale.value);
#else
    const hn::Half<decltype(dh)> half;
    w[0] = hn::Mul(hn::PromoteTo(d, hn::LowerHalf(even)), scale.value);
    w[1] = hn::Mul(hn::PromoteTo(d, hn::UpperHalf(half, even)), scale.value);
    w[2] = hn::Mul(hn::PromoteTo(d, hn::LowerHalf(odd)), scale.value);
    w[3] = hn::Mul(hn::PromoteTo(d, hn::UpperHalf(half, odd)), scale.value);
#endif
#else
    HWY_ALIGN float values[kGroup];
    for (int i = 0; i < kGroup / 2; ++i) {
      values[i] = e4m3_to_f32(data[2 * i]);
      values[kGroup / 2 + i] = e4m3_to_f32(data[2 * i + 1]);
    }
    for (int v = 0; v < kVectors; ++v) w[v] = hn::Mul(hn::Load(d, values + v * kLanes), scale.value);
#endif
  }
  static const uint8_t* scale_row(const uint8_t* scales, int64_t row, int64_t cols) {
    return scales + row / 128 * ((cols + 127) / 128);
  }
};

// e2m1: a table of the sixteen values, multiplied by the scale of the group
// before the look-up where one vector holds it.
struct DecodeFp4 {
  static constexpr int kGroupBytes = kGroup / 2;
  struct Scale {
    const uint8_t* groups;
  };
  static HWY_INLINE Scale scale(const uint8_t* row_scales, int64_t block) {
    return {row_scales + block * kBlockGroups};
  }
  static HWY_INLINE void decode(const uint8_t* data, const Scale& scale, int group, V* w) {
    const D d;
    const V factor = hn::Set(d, kE8m0[scale.groups[group]]);
#if HWY_TARGET <= HWY_AVX3
    const hn::RebindToSigned<D> di;
    const V table = hn::Mul(hn::Load(d, kE2m1), factor);
    const auto codes = hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, D>(), data));
    // The permutation reads the low four bits of each index and ignores the others.
    w[0] = V{_mm512_permutexvar_ps(codes.raw, table.raw)};
    w[1] = V{_mm512_permutexvar_ps(hn::ShiftRight<4>(codes).raw, table.raw)};
#elif FT_HALVES
    // The values as halves have an empty low byte, so a byte look-up makes the high bytes of halves.
    const hn::FixedTag<uint8_t, 16> d8;
    const hn::FixedTag<uint16_t, 8> d16;
    const hn::FixedTag<hwy::float16_t, 8> dh;
    const auto packed = hn::LoadU(d8, data);
    const auto low_bits = hn::Set(d8, uint8_t{15});
    const auto table = hn::Load(d8, kE2m1HighHalf);
    const auto even = hn::TableLookupBytes(table, hn::And(packed, low_bits));
    const auto odd = hn::TableLookupBytes(
        table, hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, packed))), low_bits));
    const auto zero = hn::Zero(d8);
    w[0] = hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveLower(d8, zero, even))), factor);
    w[1] = hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveUpper(d8, zero, even))), factor);
    w[2] = hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveLower(d8, zero, odd))), factor);
    w[3] = hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveUpper(d8, zero, odd))), factor);
#else
    HWY_ALIGN float values[kGroup];
    for (int i = 0; i < kGroup / 2; ++i) {
      values[i] = kE2m1[data[i] & 15];
      values[kGroup / 2 + i] = kE2m1[data[i] >> 4];
    }
    for (int v = 0; v < kVectors; ++v) w[v] = hn::Mul(hn::Load(d, values + v * kLanes), factor);
#endif
  }
  static const uint8_t* scale_row(const uint8_t* scales, int64_t row, int64_t cols) {
    return scales + row * (cols / kGroup);
  }
};

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
