// fp4 weights against q8 activations, in integers. A weight is twice its e2m1 code, an activation 8 * coarse + fine.
// Lane l sums the columns [8l, 8l + 8) of a block, which share a scale: exactly, in any order. What is rounded is this
// sum, once.
#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/linear_codes.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <cstring>

#include "core/cpu/panel-inl.h"
#include "core/cpu/tables.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC target("avx512vnni,avx512bf16")  // see panel-inl.h
#endif
namespace ft::cpu::HWY_NAMESPACE {

using D8 = hn::ScalableTag<uint8_t>;
using D16 = hn::ScalableTag<int16_t>;
using DI = hn::RebindToSigned<D>;
using V16 = hn::Vec<D16>;
using VI = hn::Vec<DI>;

constexpr int kGroup = 32, kBlockGroups = 4;
constexpr int kGroupBytes = kGroup / 2, kBlockBytes = kBlockGroups * kGroupBytes;
constexpr int kSets = 4;  // of columns: set s has every fourth, from column s on (CodeBlock)

// A block of weights as integers, times 2^kUnitBits of the decoder: word w of set s is column 4w + s.
struct Codes {
  V16 set[kSets][kParts];
};

// Weights and scales as stored become vectors. Word w of a block has the codes of columns 4w to 4w + 3, from its
// lowest four bits on, so that a shift brings those of a set to where a look-up reads them.
class Decoder {
 public:
#if HWY_TARGET <= HWY_AVX3
  static constexpr int kUnitBits = 0;

  HWY_INLINE Decoder() : table_(_mm512_load_si512(kTwiceE2m1.data())) {}

  // The look-up reads five bits; the fifth, of the next code, does not matter.
  HWY_INLINE Codes codes(const uint8_t* block) const {
    const __m512i words = _mm512_loadu_si512(block);
    return {{{V16{_mm512_permutexvar_epi16(words, table_)}},
             {V16{_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 4), table_)}},
             {V16{_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 8), table_)}},
             {V16{_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 12), table_)}}}};
  }
#else
  // The look-up goes by bytes: the upper one of a word gets the weight, times 256, and the lower one the zero of code
  // 0.
  static constexpr int kUnitBits = 8;

  HWY_INLINE Decoder()
      : table_(_mm256_load_si256(reinterpret_cast<const __m256i*>(kTwiceE2m1Bytes.data()))) {}

  HWY_INLINE Codes codes(const uint8_t* block) const {
    const auto look_up = [&](__m256i words) HWY_ATTR {
      return V16{_mm256_shuffle_epi8(table_, _mm256_and_si256(words, _mm256_set1_epi16(0x0f00)))};
    };
    Codes codes;
    for (int p = 0; p < kParts; ++p) {
      const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block) + p);
      codes.set[0][p] = look_up(_mm256_slli_epi16(words, 8));
      codes.set[1][p] = look_up(_mm256_slli_epi16(words, 4));
      codes.set[2][p] = look_up(words);
      codes.set[3][p] = look_up(_mm256_srli_epi16(words, 4));
    }
    return codes;
  }
#endif

  // The scales of the four groups of a block, each in its four lanes. The smallest of all, 2^-127, counts as 0.
  HWY_INLINE Sixteen scales(const uint8_t* stored) const {
    uint32_t four;
    std::memcpy(&four, stored, sizeof(four));
    const auto bytes = hn::BitCast(D8(), hn::Set(DU(), four));
    Sixteen scales;
    for (int p = 0; p < kParts; ++p) {
      const auto exponents =
          hn::TableLookupBytesOr0(bytes, hn::Load(D8(), kLaneBytes.data() + p * kLanes * 4));
      scales.part[p] = hn::BitCast(D(), hn::ShiftLeft<23>(hn::BitCast(DU(), exponents)));
    }
    return scales;
  }

 private:
#if HWY_TARGET <= HWY_AVX3
  __m512i table_;
#else
  __m256i table_;
#endif
};

// a[2l] * b[2l] + a[2l+1] * b[2l+1] for each lane l.
HWY_INLINE VI multiply_pairs(V16 a, V16 b) {
#if HWY_TARGET <= HWY_AVX3
  return VI{_mm512_madd_epi16(a.raw, b.raw)};
#else
  return VI{_mm256_madd_epi16(a.raw, b.raw)};
#endif
}

// The same added to sum.
HWY_INLINE VI add_pairs(V16 a, V16 b, VI sum) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpwssd_epi32(sum.raw, a.raw, b.raw)};
#else
  return hn::Add(sum, multiply_pairs(a, b));
#endif
}

// The sums of products of decoded weights of each output and columns of a row.
template <int kOutputs>
HWY_INLINE void multiply(const Codes (&weights)[kOutputs], const int16_t* columns,
                         VI (&products)[kOutputs][kParts]) {
  const D16 d16;
#pragma GCC unroll 4
  for (int s = 0; s < kSets; ++s) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) {
      const V16 row = load_for<kOutputs>(d16, columns + s * kGroup + p * 2 * kLanes);
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) {
        const V16 these = weights[o].set[s][p];
        products[o][p] = s == 0 ? multiply_pairs(these, row) : add_pairs(these, row, products[o][p]);
      }
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) products[o][p] = hn::ShiftRight<Decoder::kUnitBits>(products[o][p]);
  }
}

// Powers of two with lower exponents; 0 where they would be those of subnormals. `by` are the exponent bits of a
// float.
HWY_INLINE V lower(V powers, uint32_t by) {
  const hn::ScalableTag<uint16_t> d16;
  return hn::BitCast(D(), hn::SaturatedSub(hn::BitCast(d16, powers), hn::BitCast(d16, hn::Set(DU(), by))));
}

// Adds to *sums[o] what a block of a row gives for output o.
template <int kOutputs>
HWY_INLINE void add_products(const Codes (&weights)[kOutputs], const Sixteen (&scales)[kOutputs],
                             const CodeBlock& x, Sixteen* const (&sums)[kOutputs]) {
  const D d;
  VI products[kOutputs][kParts];
  multiply(weights, x.coarse, products);
  V factors[kOutputs][kParts];
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) factors[o][p] = lower(scales[o].part[p], x.lowered);
  }
  if (HWY_UNLIKELY(!x.is_plain)) {
    VI fine[kOutputs][kParts];
    multiply(weights, x.fine, fine);
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) {
        products[o][p] = hn::Add(hn::ShiftLeft<3>(products[o][p]), fine[o][p]);
        factors[o][p] = hn::Mul(factors[o][p], hn::Set(d, x.fine_factor));
      }
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) {
      V& sum = sums[o]->part[p];
      sum = hn::MulAdd(hn::ConvertTo(d, products[o][p]), factors[o][p], sum);
    }
  }
}

// fp4 weights as integers times rows as integers.
struct CodeKernel {
  static constexpr int64_t kBlockBytes = ft::cpu::HWY_NAMESPACE::kBlockBytes;
  static constexpr int64_t kRowBytes = kBlockColumns * sizeof(int16_t);
  static constexpr int together(int rows) { return kLanes < 16 ? 1 : rows == 1 ? 4 : 2; }
  static constexpr int kRowsAtOnce = kRowsMost;

  class Panel {
   public:
    Panel(const LinearJob& job, const Tile& tile)
        : groups_(job.weight->cols / kGroup),
          bytes_(static_cast<const uint8_t*>(job.weight->data) + tile.first * row_bytes()),
          scales_(job.weight->scale + tile.first * groups_) {
      // The scales of the next panel lie behind these.
      const int64_t count = tile.count * groups_;
      for (int64_t line = 0; line < count; line += 64) hwy::Prefetch(scales_ + count + line);
    }

    int64_t row_bytes() const { return groups_ * kGroupBytes; }
    int64_t groups() const { return groups_; }
    const uint8_t* bytes(int64_t output) const { return bytes_ + output * row_bytes(); }
    const uint8_t* scales(int64_t output) const { return scales_ + output * groups_; }

   private:
    int64_t groups_;
    const uint8_t* bytes_;
    const uint8_t* scales_;
  };

  struct Rows {
    Rows(const LinearJob& job, int64_t, int64_t row, int64_t rows) : block_stride(job.x.codes.rows) {
      for (int64_t r = 0; r < rows; ++r) data[r] = job.x.codes.data + job.source_row(row + r);
    }
    const CodeBlock& block(int row, int64_t number) const { return data[row][number * block_stride]; }

    const CodeBlock* data[kRowsMost];
    int64_t block_stride;
  };

  template <int kOutputs>
  struct Outputs {
    HWY_INLINE Outputs(const Panel& panel, int64_t first) : whole(panel.groups() / kBlockGroups) {
      for (int o = 0; o < kOutputs; ++o) {
        bytes[o] = panel.bytes(first + o);
        scales[o] = panel.scales(first + o);
      }
    }
    Decoder decoder;
    const uint8_t* bytes[kOutputs];
    const uint8_t* scales[kOutputs];
    int64_t whole;
  };

  template <int kRows, int kOutputs>
  static HWY_INLINE void add_block(const Outputs<kOutputs>& outputs, const Rows& rows, int64_t block,
                                   Sixteen (&sums)[kOutputs][kRows]) {
    Codes weights[kOutputs];
    Sixteen scales[kOutputs];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      weights[o] = outputs.decoder.codes(outputs.bytes[o] + block * kBlockBytes);
      scales[o] = outputs.decoder.scales(outputs.scales[o] + block * kBlockGroups);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      Sixteen* row_sums[kOutputs];
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) row_sums[o] = &sums[o][r];
      add_products(weights, scales, rows.block(r, block), row_sums);
    }
  }

  template <int kRows, int kOutputs>
  static HWY_INLINE bool add_last_block(const Outputs<kOutputs>&, const Rows&, int64_t,
                                        Sixteen (&)[kOutputs][kRows]) {
    return false;
  }

  // The last block where it has fewer than four groups, from copies with zeros behind them.
  template <int kRows, int kOutputs>
  static HWY_NOINLINE void add_odd_block(const Panel& panel, const Outputs<kOutputs>& outputs,
                                         const Rows& rows, int64_t block, Sixteen* sums) {
    const int64_t groups = panel.groups() - block * kBlockGroups;
    for (int o = 0; o < kOutputs; ++o, sums += kRowsMost) {
      HWY_ALIGN uint8_t bytes[kBlockBytes] = {};
      uint8_t stored[kBlockGroups] = {};
      std::memcpy(bytes, outputs.bytes[o] + block * kBlockBytes, static_cast<size_t>(groups * kGroupBytes));
      std::memcpy(stored, outputs.scales[o] + block * kBlockGroups, static_cast<size_t>(groups));
      const Codes weights[1] = {outputs.decoder.codes(bytes)};
      const Sixteen scales[1] = {outputs.decoder.scales(stored)};
      for (int r = 0; r < kRows; ++r) add_products<1>(weights, scales, rows.block(r, block), {sums + r});
    }
  }
};

void linear_codes_tiles_target(const LinearJob& job, int64_t begin, int64_t end) {
  run_panels<CodeKernel>(job, begin, end);
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(linear_codes_tiles_target);

void linear_codes_tiles(const LinearJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(linear_codes_tiles_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
