// Weights as stored, turned into float32 vectors in registers, 32 columns at a time.
// Included once per instruction set.
//
// Columns come in "paired" order inside each group of 32: the 16 even columns, then the 16 odd ones. It is
// the order in which packed formats fall apart without shuffles (the low nibbles of 16 bytes are the even
// columns, the low halves of 16 words too); activations are brought into the same order once per call
// (core/cpu/prepare.h). Float32 weights stay in order.
#if defined(FT_CORE_CPU_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_DECODE_INL_H_
#undef FT_CORE_CPU_DECODE_INL_H_
#else
#define FT_CORE_CPU_DECODE_INL_H_
#endif

#include "core/cpu/lanes-inl.h"
#include "core/cpu/prepare.h"
#include "core/cpu/tables.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

inline constexpr int kGroup = 32;  // columns decoded together
inline constexpr int kVectors =
    kGroup / kLanes;                    // vectors they fill; vector v holds lanes of part v % kParts
inline constexpr int kBlockGroups = 4;  // groups per block

// Each format has: its bytes per group; decode() of one group, given the scales of its block; what the sums
// of a block are multiplied with (kScaled, factor()); where the scales of an output row begin.

struct DecodeF32 {
  static constexpr int kGroupBytes = 4 * kGroup;
  static constexpr bool kScaled = false;
  static HWY_INLINE void decode(const uint8_t* data, const uint8_t*, V* w) {
    const D d;
    for (int v = 0; v < kVectors; ++v) w[v] = hn::LoadU(d, reinterpret_cast<const float*>(data) + v * kLanes);
  }
  static float factor(const uint8_t*, int64_t) { return 1.0f; }
  static const uint8_t* scale_row(const Weight&, int64_t) { return nullptr; }
  static const uint8_t* group_scale(const uint8_t*, int64_t) { return nullptr; }
};

struct DecodeBf16 {
  static constexpr int kGroupBytes = 2 * kGroup;
  static constexpr bool kScaled = false;
  static HWY_INLINE void decode(const uint8_t* data, const uint8_t*, V* w) {
    const D d;
    const DU du;
    for (int v = 0; v < kVectors / 2; ++v) {
      const auto pairs = hn::LoadU(du, reinterpret_cast<const uint32_t*>(data) + v * kLanes);
      w[v] = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
      w[kVectors / 2 + v] = hn::BitCast(d, hn::And(pairs, hn::Set(du, 0xffff0000u)));
    }
  }
  static float factor(const uint8_t*, int64_t) { return 1.0f; }
  static const uint8_t* scale_row(const Weight&, int64_t) { return nullptr; }
  static const uint8_t* group_scale(const uint8_t*, int64_t) { return nullptr; }
};

// e4m3 through float16: sign and the seven bits below it, moved to the sign and the exponent of a half, are
// the value times 2^-8 (subnormals included), and the hardware widens halves. The factor takes the 2^8 back.
struct DecodeFp8 {
  static constexpr int kGroupBytes = kGroup;
  static constexpr bool kScaled = true;
  static HWY_INLINE void decode(const uint8_t* data, const uint8_t*, V* w) {
    const D d;
    const hn::FixedTag<int16_t, 16> d16;
    const hn::FixedTag<hwy::float16_t, 16> dh;
    const auto words = hn::LoadU(d16, reinterpret_cast<const int16_t*>(data));
    const auto mask = hn::Set(d16, static_cast<int16_t>(0xbf80));
    const auto even = hn::BitCast(dh, hn::And(hn::ShiftRight<1>(hn::ShiftLeft<8>(words)), mask));
    const auto odd = hn::BitCast(dh, hn::And(hn::ShiftRight<1>(words), mask));
#if HWY_TARGET <= HWY_AVX3
    w[0] = hn::PromoteTo(d, even);
    w[1] = hn::PromoteTo(d, odd);
#else
    const hn::Half<decltype(dh)> half;
    w[0] = hn::PromoteTo(d, hn::LowerHalf(even));
    w[1] = hn::PromoteTo(d, hn::UpperHalf(half, even));
    w[2] = hn::PromoteTo(d, hn::LowerHalf(odd));
    w[3] = hn::PromoteTo(d, hn::UpperHalf(half, odd));
#endif
  }
  static float factor(const uint8_t* scales, int64_t block) {
    return kE8m0Times256[scales[block]];
  }
  static const uint8_t* scale_row(const Weight& weight, int64_t row) {
    return weight.scale + row / 128 * blocks_of(weight.cols);
  }
  static const uint8_t* group_scale(const uint8_t*, int64_t) {
    return nullptr;
  }
};

// e2m1 against float32 rows: a table of the sixteen values, multiplied by the scale of the group
// before the look-up where one vector holds it.
struct DecodeFp4 {
  static constexpr int kGroupBytes = kGroup / 2;
  static constexpr bool kScaled = false;
  static HWY_INLINE void decode(const uint8_t* data, const uint8_t* group_scale, V* w) {
    const D d;
    const V factor = hn::Set(d, kE8m0[*group_scale]);
#if HWY_TARGET <= HWY_AVX3
    const hn::RebindToSigned<D> di;
    const V table = hn::Mul(hn::Load(d, kE2m1), factor);
    const auto codes = hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, D>(), data));
    // The permutation reads the low four bits of each index and ignores the others.
    w[0] = V{_mm512_permutexvar_ps(codes.raw, table.raw)};
    w[1] = V{_mm512_permutexvar_ps(hn::ShiftRight<4>(codes).raw, table.raw)};
#else
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
#endif
  }
  static float factor(const uint8_t*, int64_t) {
    return 1.0f;
  }
  static const uint8_t* scale_row(const Weight& weight, int64_t row) {
    return weight.scale + row * (weight.cols / kGroup);
  }
  static const uint8_t* group_scale(const uint8_t* scales, int64_t group) {
    return scales + group;
  }
};

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
