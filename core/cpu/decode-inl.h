// Weights as stored, turned into float32 vectors in registers, 32 or 64 columns at a time. Included once per
// instruction set.
//
// Columns come in "paired" order inside each group of 32: the 16 odd columns, then the 16 even ones. Packed formats
// fall apart into odd and even columns without shuffles (the halves of 16 words, the nibbles of 16 bytes), and
// products of bfloat16 pairs add that of the odd column first (bf16_products.h). Float32 activations are brought into
// the same order once per call (core/cpu/prepare.h). Float32 weights stay in order.
#if defined(FT_CORE_CPU_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_DECODE_INL_H_
#undef FT_CORE_CPU_DECODE_INL_H_
#else
#define FT_CORE_CPU_DECODE_INL_H_
#endif

#include <array>

#include "core/cpu/lanes-inl.h"
#include "core/cpu/prepare.h"
#include "core/cpu/tables.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

inline constexpr int kGroup = 32;       // columns decoded together
inline constexpr int kBlockGroups = 4;  // groups per block

// Each format has: its bytes per group; the groups that are decoded together, into kStepVectors vectors; Raw, what the
// bytes of these become before they are vectors, so that few registers hold it (`pairs` where these are bfloat16);
// raw() of the bytes and the scales of their groups; vector() number v of it; what the sums of a block are multiplied
// with (kScaled, factor()); where the scales of an output row begin.

struct DecodeF32 {
  static constexpr int kGroupBytes = 4 * kGroup, kStepGroups = 1;
  static constexpr bool kScaled = false;
  struct Raw {
    const float* data;
  };
  static HWY_INLINE Raw raw(const uint8_t* data, const uint8_t*) {
    return {reinterpret_cast<const float*>(data)};
  }
  static HWY_INLINE V vector(const Raw& raw, int v) { return hn::LoadU(D(), raw.data + v * kLanes); }
  static float factor(const uint8_t*, int64_t) { return 1.0f; }
  static const uint8_t* scale_row(const Weight&, int64_t) { return nullptr; }
  static const uint8_t* group_scale(const uint8_t*, int64_t) { return nullptr; }
};

// Neighbouring columns as the halves of words: the low halves are the even columns.
HWY_INLINE V even_bf16(hn::Vec<DU> pairs) {
  return hn::BitCast(D(), hn::ShiftLeft<16>(pairs));
}
HWY_INLINE V odd_bf16(hn::Vec<DU> pairs) {
  return hn::BitCast(D(), hn::And(pairs, hn::Set(DU(), 0xffff0000u)));
}

struct DecodeBf16 {
  static constexpr int kGroupBytes = 2 * kGroup, kStepGroups = 1;
  static constexpr bool kScaled = false;
  struct Raw {
    hn::Vec<DU> pairs[kParts];
  };
  static HWY_INLINE Raw raw(const uint8_t* data, const uint8_t*) {
    Raw raw;
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p)
      raw.pairs[p] = hn::LoadU(DU(), reinterpret_cast<const uint32_t*>(data) + p * kLanes);
    return raw;
  }
  static HWY_INLINE V vector(const Raw& raw, int v) {
    return v < kParts ? odd_bf16(raw.pairs[v]) : even_bf16(raw.pairs[v - kParts]);
  }
  static float factor(const uint8_t*, int64_t) {
    return 1.0f;
  }
  static const uint8_t* scale_row(const Weight&, int64_t) {
    return nullptr;
  }
  static const uint8_t* group_scale(const uint8_t*, int64_t) {
    return nullptr;
  }
};

// e4m3 times 2^-8, subnormals included; the factor takes the 2^8 back.
struct DecodeFp8 {
  static constexpr int kGroupBytes = kGroup;
  static constexpr bool kScaled = true;
#if HWY_TARGET == HWY_AVX3_DL
  // As bfloat16: each byte of it from a table of 128, and the sign.
  static constexpr int kStepGroups = 2;
  struct Raw {
    hn::Vec<DU> pairs[2];
  };
  static HWY_INLINE Raw raw(const uint8_t* data, const uint8_t*) {
    const hn::FixedTag<uint8_t, 64> d8;
    const hn::FixedTag<uint64_t, 8> d64;
    // The bytes are interleaved within quarters of the vector.
    alignas(64) static constexpr uint64_t kQuarters[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    const __m512i codes = _mm512_permutexvar_epi64(hn::Load(d64, kQuarters).raw, hn::LoadU(d8, data).raw);
    const auto look_up = [&](const std::array<uint8_t, 128>& table) HWY_ATTR {
      return _mm512_permutex2var_epi8(hn::Load(d8, table.data()).raw, codes,
                                      hn::Load(d8, table.data() + 64).raw);
    };
    const __m512i low = look_up(kE4m3LowByte);
    const __m512i high =
        _mm512_ternarylogic_epi32(look_up(kE4m3HighByte), codes, hn::Set(d8, uint8_t{0x80}).raw,
                                  0xf8);  // a | (b & c)
    return {{hn::Vec<DU>{_mm512_unpacklo_epi8(low, high)}, hn::Vec<DU>{_mm512_unpackhi_epi8(low, high)}}};
  }
  static HWY_INLINE V vector(const Raw& raw, int v) {
    return v % 2 == 0 ? odd_bf16(raw.pairs[v / 2]) : even_bf16(raw.pairs[v / 2]);
  }
#else
  // Through float16: sign and the seven bits below it, moved to the sign and the exponent of a half, are the value
  // times 2^-8, and the hardware widens halves.
  static constexpr int kStepGroups = 1;
  using Halves = hn::FixedTag<hwy::float16_t, 16>;
  struct Raw {
    hn::Vec<Halves> even, odd;
  };
  static HWY_INLINE Raw raw(const uint8_t* data, const uint8_t*) {
    const Halves dh;
    const hn::FixedTag<int16_t, 16> d16;
    const auto words = hn::LoadU(d16, reinterpret_cast<const int16_t*>(data));
    const auto mask = hn::Set(d16, static_cast<int16_t>(0xbf80));
    return {hn::BitCast(dh, hn::And(hn::ShiftRight<1>(hn::ShiftLeft<8>(words)), mask)),
            hn::BitCast(dh, hn::And(hn::ShiftRight<1>(words), mask))};
  }
  static HWY_INLINE V vector(const Raw& raw, int v) {
    const hn::Vec<Halves> halves = v < kParts ? raw.odd : raw.even;
#if HWY_TARGET <= HWY_AVX3
    return hn::PromoteTo(D(), halves);
#else
    const hn::Half<Halves> half;
    return hn::PromoteTo(D(), v % 2 == 0 ? hn::LowerHalf(halves) : hn::UpperHalf(half, halves));
#endif
  }
#endif
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
  static constexpr int kGroupBytes = kGroup / 2, kStepGroups = 1;
  static constexpr bool kScaled = false;
  struct Raw {
    V vectors[kGroup / kLanes];
  };
  static HWY_INLINE Raw raw(const uint8_t* data, const uint8_t* group_scale) {
    const D d;
    const V factor = hn::Set(d, kE8m0[*group_scale]);
#if HWY_TARGET <= HWY_AVX3
    const hn::RebindToSigned<D> di;
    const V table = hn::Mul(hn::Load(d, kE2m1), factor);
    const auto codes = hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, D>(), data));
    // The permutation reads the low four bits of each index and ignores the others.
    return {{V{_mm512_permutexvar_ps(hn::ShiftRight<4>(codes).raw, table.raw)},
             V{_mm512_permutexvar_ps(codes.raw, table.raw)}}};
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
    return {{hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveLower(d8, zero, odd))), factor),
             hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveUpper(d8, zero, odd))), factor),
             hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveLower(d8, zero, even))), factor),
             hn::Mul(hn::PromoteTo(d, hn::BitCast(dh, hn::InterleaveUpper(d8, zero, even))), factor)}};
#endif
  }
  static HWY_INLINE V vector(const Raw& raw, int v) {
    return raw.vectors[v];
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
