// The forms in which queries meet cached rows: float32, or bfloat16 pairs where official numerics hold bfloat16 numbers
// and the processor multiplies them (bf16_products.h). Both give the same bits: columns come in pairs, the odd one
// before the even one. Included once per instruction set.
#if defined(FT_CORE_CPU_NUMBERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_NUMBERS_INL_H_
#undef FT_CORE_CPU_NUMBERS_INL_H_
#else
#define FT_CORE_CPU_NUMBERS_INL_H_
#endif

#include <bit>
#include <cstring>

#include "core/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC target("avx512bf16")  // see panel-inl.h
#endif
namespace ft::cpu::HWY_NAMESPACE {

// Columns of a row in whole groups, in which the rows below are.
inline int64_t whole_groups(int64_t columns) {
  return (columns + kGroup - 1) / kGroup * kGroup;
}

// A form has
//   Element       of a row
//   Vector        of elements; kColumns of them to a lane
//   convert()     `count` floats, whole groups of 32, to a row; where `paired`, lanes will be columns
//   load()        a vector of a row
//   spread()      what stands in step s of a sum over a row's columns that is not paired, in all lanes
//   word()        the same as a number, and load_words() a vector of such
//   add()         a * b + sum, for both columns of a lane
// and for sums over rows
//   spread_pair() of weights that are not paired, those of rows r and r + 1, r even
//   add_rows()    weights times groups of two paired rows, to sums that store_sums() brings in order

struct Floats {
  using Element = float;
  using Vector = V;
  static constexpr int kColumns = 1;

  // A paired row has the odd columns of each group first.
  static HWY_INLINE void convert(const float* x, int64_t count, bool paired, Element* out) {
    if (!paired) {
      if (out != x) std::copy_n(x, count, out);
      return;
    }
    const D d;
    for (int64_t c = 0; c < count; c += kGroup) {
      for (int v = 0; v < 16 / kLanes; ++v) {
        V even, odd;
        hn::LoadInterleaved2(d, x + c + v * 2 * kLanes, even, odd);
        hn::StoreU(odd, d, out + c + v * kLanes);
        hn::StoreU(even, d, out + c + 16 + v * kLanes);
      }
    }
  }
  static HWY_INLINE Vector load(const Element* x) { return hn::LoadU(D(), x); }
  static HWY_INLINE Vector spread(const Element* x, int64_t step) { return hn::Set(D(), x[step ^ 1]); }
  static HWY_INLINE uint32_t word(const Element* x, int64_t step) {
    return std::bit_cast<uint32_t>(x[step ^ 1]);
  }
  static HWY_INLINE Vector load_words(const uint32_t* words) {
    return hn::BitCast(D(), hn::LoadU(DU(), words));
  }
  static HWY_INLINE V add(Vector a, Vector b, V sum) { return hn::MulAdd(a, b, sum); }

  struct Pair {
    V first, second;
  };
  static HWY_INLINE Pair spread_pair(const Element* weights, int64_t row) {
    return {hn::Set(D(), weights[row]), hn::Set(D(), weights[row + 1])};
  }
  // Sums of odd columns, then of even ones.
  template <int kHeads>
  static HWY_INLINE void add_rows(const Pair (&weights)[kHeads], const Element* first, const Element* second,
                                  Sixteen* const (&sums)[kHeads]) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) {
        const V a = load(first + i * 16 + p * kLanes), b = load(second + i * 16 + p * kLanes);
#pragma GCC unroll 4
        for (int h = 0; h < kHeads; ++h) {
          V& sum = sums[h][i].part[p];
          sum = hn::MulAdd(weights[h].first, a, hn::MulAdd(weights[h].second, b, sum));
        }
      }
    }
  }
  static HWY_INLINE void store_sums(const Sixteen* sums, float* out) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p)
      hn::StoreInterleaved2(sums[1].part[p], sums[0].part[p], D(), out + p * 2 * kLanes);
  }
};

#if HWY_TARGET == HWY_AVX3_DL
struct Bf16 {
  using Element = uint16_t;
  using Vector = hn::Vec<DU>;
  static constexpr int kColumns = 2;

  // Rows are in order either way. `out` may be where x is.
  static HWY_INLINE void convert(const float* x, int64_t count, bool, Element* out) {
    store_bf16(x, count, out);
  }
  static HWY_INLINE Vector load(const Element* x) { return Vector{_mm512_loadu_si512(x)}; }
  static HWY_INLINE uint32_t word(const Element* x, int64_t step) {
    uint32_t word;
    std::memcpy(&word, x + 2 * step, sizeof(word));
    return word;
  }
  static HWY_INLINE Vector spread(const Element* x, int64_t step) { return hn::Set(DU(), word(x, step)); }
  static HWY_INLINE Vector load_words(const uint32_t* words) { return hn::LoadU(DU(), words); }
  static HWY_INLINE V add(Vector a, Vector b, V sum) {
    return V{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
  }

  using Pair = Vector;
  static HWY_INLINE Pair spread_pair(const Element* weights, int64_t row) { return spread(weights, row / 2); }
  // Of each quarter of the columns, the sums of the first four, then of the others.
  template <int kHeads>
  static HWY_INLINE void add_rows(const Pair (&weights)[kHeads], const Element* first, const Element* second,
                                  Sixteen* const (&sums)[kHeads]) {
    const __m512i a = load(first).raw, b = load(second).raw;
    const Vector halves[2] = {Vector{_mm512_unpacklo_epi16(a, b)}, Vector{_mm512_unpackhi_epi16(a, b)}};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) sums[h][i].part[0] = add(weights[h], halves[i], sums[h][i].part[0]);
    }
  }
  static HWY_INLINE void store_sums(const Sixteen* sums, float* out) {
    const __m512 a = sums[0].part[0].raw, b = sums[1].part[0].raw;
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    _mm512_storeu_ps(out, _mm512_permutex2var_ps(a, low, b));
    _mm512_storeu_ps(out + 16, _mm512_permutex2var_ps(a, high, b));
  }
};
#endif

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
