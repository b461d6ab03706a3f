// Vector pieces that several kernels share: roundings, quantisers, sums, rotation.
// Included once per instruction set.
#if defined(FT_CORE_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_LANES_INL_H_
#undef FT_CORE_CPU_LANES_INL_H_
#else
#define FT_CORE_CPU_LANES_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/backend.h"
#include "core/dtype.h"
#include "core/quantize.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;
using D4 = hn::FixedTag<float, 4>;
using V4 = hn::Vec<D4>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));  // 8 or 16

// Round to nearest even to bf16, kept as float32. (Infinities stay; arithmetic NaNs stay NaN.)
template <class Tag>
HWY_INLINE hn::Vec<Tag> round_bf16(Tag d, hn::Vec<Tag> v) {
  const hn::RebindToUnsigned<Tag> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  return hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
}

template <class Tag>
HWY_INLINE hn::Vec<Tag> round_if(Tag d, hn::Vec<Tag> v, bool official) {
  return official ? round_bf16(d, v) : v;
}

// bf16 numbers kept as float32, whole vectors of them, as such. `out` may be where x is.
HWY_INLINE void store_bf16(const float* x, int64_t count, uint16_t* out) {
  const DU du;
  for (int64_t i = 0; i < count; i += kLanes) {
    const auto upper = hn::ShiftRight<16>(hn::BitCast(du, hn::LoadU(D(), x + i)));
    hn::StoreU(hn::TruncateTo(hn::Rebind<uint16_t, D>(), upper), hn::Rebind<uint16_t, D>(), out + i);
  }
}

// Sixteen lanes on every instruction set: one vector of AVX-512, two of AVX2. Every sum over the elements of
// a row is formed in sixteen lanes and folded by one tree, so that its bits do not depend on the width of a
// vector. Element i of a row belongs to lane i % 16 unless a kernel says otherwise.
inline constexpr int kSumLanes = 16;
inline constexpr int kParts = kSumLanes / kLanes;
struct Sixteen {
  V part[kParts];
};

HWY_INLINE Sixteen zero16() {
  Sixteen sum;
  for (int p = 0; p < kParts; ++p) sum.part[p] = hn::Zero(D());
  return sum;
}

// The vector at x of which `count` elements exist (any number, also none or more than a vector), the rest 0.
HWY_INLINE V load_first(const float* x, int64_t count) {
  const D d;
  if (count >= kLanes) return hn::LoadU(d, x);
  return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(count, 0))), d, x);
}

// The sums of the lanes of four vectors, as the four lanes of one. Each sum is formed by the same tree of
// halves, whatever its place.
HWY_INLINE V4 fold4(V4 a0, V4 a1, V4 a2, V4 a3) {
  const D4 d;
  const V4 s01 = hn::Add(hn::InterleaveLower(d, a0, a1), hn::InterleaveUpper(d, a0, a1));
  const V4 s23 = hn::Add(hn::InterleaveLower(d, a2, a3), hn::InterleaveUpper(d, a2, a3));
  return hn::Add(hn::ConcatLowerLower(d, s23, s01), hn::ConcatUpperUpper(d, s23, s01));
}

template <class Tag>
HWY_INLINE V4 halve_to4(Tag d, hn::Vec<Tag> v) {
  if constexpr (hn::MaxLanes(Tag()) == 4) {
    (void)d;
    return v;
  } else {
    const hn::Half<Tag> half;
    return halve_to4(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// Lanes l and l+8, then l and l+4.
HWY_INLINE V4 halve_to4(const Sixteen& sum) {
  if constexpr (kParts == 2) {
    return halve_to4(D(), hn::Add(sum.part[0], sum.part[kParts - 1]));
  } else {
    return halve_to4(D(), sum.part[0]);
  }
}

HWY_INLINE V4 sum_lanes4(const Sixteen& a0, const Sixteen& a1, const Sixteen& a2, const Sixteen& a3) {
  return fold4(halve_to4(a0), halve_to4(a1), halve_to4(a2), halve_to4(a3));
}

HWY_INLINE float sum_lanes(const Sixteen& sum) {
  const V4 quarter = halve_to4(sum);
  return hn::GetLane(fold4(quarter, quarter, quarter, quarter));
}

// exp(x): 0 below -87, and of at most 88; NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2, exp(r) by its
// Taylor polynomial (the rest is below r^8 / 8! = 6e-9), n added to the exponent bits. The only exponential
// of the kernels: the same bits in every lane of every instruction set.
template <class Tag>
HWY_INLINE hn::Vec<Tag> exp_lanes(Tag d, hn::Vec<Tag> x) {
  const hn::RebindToSigned<Tag> di;
  const auto y = hn::Min(hn::Set(d, 88.0f), hn::Max(hn::Set(d, -87.0f), x));
  // 1.5 * 2^23: rounds to an integer, left in the low bits.
  const auto shifter = hn::Set(d, 12582912.0f);
  const auto shifted = hn::MulAdd(y, hn::Set(d, 1.44269504f), shifter);
  const auto n = hn::Sub(shifted, shifter);
  // ln 2 in two parts; the first product is exact.
  const auto r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), y));
  auto series = hn::MulAdd(r, hn::Set(d, 1.0f / 5040.0f), hn::Set(d, 1.0f / 720.0f));
  series = hn::MulAdd(series, r, hn::Set(d, 1.0f / 120.0f));
  series = hn::MulAdd(series, r, hn::Set(d, 1.0f / 24.0f));
  series = hn::MulAdd(series, r, hn::Set(d, 1.0f / 6.0f));
  series = hn::MulAdd(series, r, hn::Set(d, 0.5f));
  series = hn::MulAdd(series, r, hn::Set(d, 1.0f));
  series = hn::MulAdd(series, r, hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const auto power = hn::BitCast(d, hn::Add(hn::BitCast(di, series), exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), power);
}

HWY_INLINE float exp_one(float x) {
  return hn::GetLane(exp_lanes(D4(), hn::Set(D4(), x)));
}

// Sum of squares of x[0..n), optionally each square rounded to bf16 first.
HWY_INLINE float sum_squares(const float* HWY_RESTRICT x, int64_t n, bool round_squares) {
  const D d;
  if (round_squares) {
    Sixteen sum = zero16();
    for (int64_t i = 0; i < n; i += kSumLanes) {
      for (int p = 0; p < kParts; ++p) {
        const V v = load_first(x + i + p * kLanes, n - i - p * kLanes);
        sum.part[p] = hn::Add(sum.part[p], round_bf16(d, hn::Mul(v, v)));
      }
    }
    return sum_lanes(sum);
  }
  // Two sums, so that one multiplication does not wait for the one before.
  Sixteen even = zero16(), odd = zero16();
  int64_t i = 0;
  for (; i + 2 * kSumLanes <= n; i += 2 * kSumLanes) {
    for (int p = 0; p < kParts; ++p) {
      const V a = hn::LoadU(d, x + i + p * kLanes), b = hn::LoadU(d, x + i + kSumLanes + p * kLanes);
      even.part[p] = hn::MulAdd(a, a, even.part[p]);
      odd.part[p] = hn::MulAdd(b, b, odd.part[p]);
    }
  }
  for (; i < n; i += kSumLanes) {
    for (int p = 0; p < kParts; ++p) {
      const V a = load_first(x + i + p * kLanes, n - i - p * kLanes);
      even.part[p] = hn::MulAdd(a, a, even.part[p]);
    }
  }
  for (int p = 0; p < kParts; ++p) even.part[p] = hn::Add(even.part[p], odd.part[p]);
  return sum_lanes(even);
}

// y = x * r * w, rounded once in official mode.
HWY_INLINE void scale_row(const float* x, const float* w, float r, int64_t n, bool official, float* y) {
  const D d;
  const V vr = hn::Set(d, r);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V v = hn::Mul(hn::Mul(hn::LoadU(d, x + i), vr), hn::LoadU(d, w + i));
    hn::StoreU(round_if(d, v, official), d, y + i);
  }
  if (i < n) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(n - i));
    const V v = hn::Mul(hn::Mul(hn::MaskedLoad(mask, d, x + i), vr), hn::MaskedLoad(mask, d, w + i));
    hn::BlendedStore(round_if(d, v, official), mask, d, y + i);
  }
}

// RMS norm of one row; x and y may be the same.
HWY_INLINE void rms_norm_row(const float* x, const float* w, int64_t n, float eps, bool official, float* y) {
  const float mean = sum_squares(x, n, false) / static_cast<float>(n);
  scale_row(x, w, 1.0f / std::sqrt(mean + eps), n, official, y);
}

// Turns the pairs of x[0..n) by the (cos, sin) pairs at `angles`; `sign` -1 turns back.
// Rounds in official mode.
HWY_INLINE void rotate_pairs(float* x, const float* angles, int64_t n, float sign, bool official) {
  const D d;
  const DU du;
  const V alternate = hn::BitCast(d, hn::ShiftLeft<31>(hn::Xor(hn::And(hn::Iota(du, 0), hn::Set(du, 1u)),
                                                               hn::Set(du, sign > 0 ? 1u : 0u))));
  const auto turn = [&](V v, V angle) HWY_ATTR {
    const V c = hn::DupEven(angle);
    const V s = hn::Xor(hn::DupOdd(angle), alternate);  // -sin for even lanes, +sin for odd ones
    return round_if(d, hn::MulAdd(hn::Shuffle2301(v), s, hn::Mul(v, c)), official);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(turn(hn::LoadU(d, x + i), hn::LoadU(d, angles + i)), d, x + i);
  if (i < n) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(n - i));
    hn::BlendedStore(turn(hn::MaskedLoad(mask, d, x + i), hn::MaskedLoad(mask, d, angles + i)), mask, d,
                     x + i);
  }
}

HWY_INLINE float max_magnitude(const float* x, int64_t n) {
  const D d;
  V a = hn::Zero(d);
  for (int64_t i = 0; i < n; i += kLanes) {
    a = hn::Max(a, hn::Abs(hn::MaskedLoad(
                       hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(n - i, kLanes))), d, x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(d, a));
}

// A small float format with `kMantissa` mantissa bits, smallest normal exponent `kMinExponent` and largest
// value kMax: e4m3 and e2m1 are two of them.
struct E4m3 {
  static constexpr int kMantissa = 3, kMinExponent = -6;
  static constexpr float kMax = 448.0f;
  static int scale_exponent(float amax) { return q8_exponent(amax); }
};
struct E2m1 {
  static constexpr int kMantissa = 1, kMinExponent = 0;
  static constexpr float kMax = 6.0f;
  static int scale_exponent(float amax) { return q4_exponent(amax); }
};

// Round to nearest even in the format, saturating. Adding a constant whose last bit is the spacing of the
// format at v's exponent rounds v to that spacing, ties to even; subtracting it leaves the rounded value.
template <class Format>
HWY_INLINE V round_to(V v) {
  const D d;
  const DU du;
  const V magnitude = hn::Min(hn::Abs(v), hn::Set(d, Format::kMax));
  const auto exponent = hn::And(hn::BitCast(du, magnitude), hn::Set(du, 0x7f800000u));
  const auto floor_exponent = hn::Set(du, static_cast<uint32_t>(Format::kMinExponent + 127) << 23);
  const V spacing = hn::BitCast(d, hn::Add(hn::Max(exponent, floor_exponent),
                                           hn::Set(du, static_cast<uint32_t>(23 - Format::kMantissa) << 23)));
  return hn::CopySign(hn::Sub(hn::Add(magnitude, spacing), spacing), v);
}

// y = round(x / s) * s for one scale group x[0..n); x and y may be the same.
template <class Format>
HWY_INLINE void quantize_group(const float* x, int64_t n, float* y) {
  const D d;
  const int exponent = Format::scale_exponent(max_magnitude(x, n));
  const V scale = hn::Set(d, exp2_int(exponent)), inverse = hn::Set(d, exp2_int(-exponent));
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Mul(round_to<Format>(hn::Mul(hn::LoadU(d, x + i), inverse)), scale), d, y + i);
  }
  if (i < n) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(n - i));
    const V v = hn::Mul(round_to<Format>(hn::Mul(hn::MaskedLoad(mask, d, x + i), inverse)), scale);
    hn::BlendedStore(v, mask, d, y + i);
  }
}

// quantize_group over consecutive groups of `group` columns (the last may be shorter).
template <class Format>
HWY_INLINE void quantize_row(const float* x, int64_t n, int64_t group, float* y) {
  for (int64_t i = 0; i < n; i += group) quantize_group<Format>(x + i, std::min(group, n - i), y + i);
}

// Sylvester-Hadamard transform of x[0..n) scaled by n^-1/2, n a power of two; rounds once in official mode.
// A step of distance h adds and subtracts elements i and i^h: whole vectors where h is at least the number of
// lanes, lanes of one vector after a shuffle where it is smaller.
HWY_INLINE void hadamard_row(float* x, int64_t n, bool official) {
  const D d;
  const float norm = 1.0f / std::sqrt(static_cast<float>(n));
  if (n < kLanes) {
    for (int64_t h = 1; h < n; h *= 2) {
      for (int64_t i = 0; i < n; ++i) {
        if ((i & h) != 0) continue;
        const float a = x[i], b = x[i + h];
        x[i] = a + b;
        x[i + h] = a - b;
      }
    }
    for (int64_t i = 0; i < n; ++i) x[i] = official ? ft::round_bf16(x[i] * norm) : x[i] * norm;
    return;
  }
  HWY_ALIGN int32_t partner[kLanes];
  HWY_ALIGN float sign[kLanes];
  for (int h = 1; h < kLanes; h *= 2) {
    for (int i = 0; i < kLanes; ++i) {
      partner[i] = i ^ h;
      sign[i] = (i & h) != 0 ? -1.0f : 1.0f;
    }
    const auto indices = hn::SetTableIndices(d, partner);
    const V signs = hn::Load(d, sign);
    for (int64_t i = 0; i < n; i += kLanes) {
      const V v = hn::LoadU(d, x + i);
      hn::StoreU(hn::MulAdd(v, signs, hn::TableLookupLanes(v, indices)), d, x + i);
    }
  }
  for (int64_t h = kLanes; h < n; h *= 2) {
    for (int64_t base = 0; base < n; base += 2 * h) {
      for (int64_t i = base; i < base + h; i += kLanes) {
        const V a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + h);
        hn::StoreU(hn::Add(a, b), d, x + i);
        hn::StoreU(hn::Sub(a, b), d, x + i + h);
      }
    }
  }
  for (int64_t i = 0; i < n; i += kLanes) {
    hn::StoreU(round_if(d, hn::Mul(hn::LoadU(d, x + i), hn::Set(d, norm)), official), d, x + i);
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
