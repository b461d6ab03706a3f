// fp4 weights against q8 activations, in integers. A weight is twice its e2m1 code, shifted by how far the
// scale of its group lies from that of the first group of the block; an activation is 8 * coarse + fine. A
// lane's eight products of a block then add up to less than 2^31, exactly, in any order: what is rounded is
// their sum, once. A block whose scales lie further apart than the shift reaches is summed group by group.
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
// Part of every processor that the target stands for, but missing from Highway's list of its features.
#pragma GCC target("avx512vnni")
#endif
namespace ft::cpu::HWY_NAMESPACE {

using D16 = hn::ScalableTag<int16_t>;
using DI = hn::RebindToSigned<D>;
using V16 = hn::Vec<D16>;
using VI = hn::Vec<DI>;

constexpr int kGroup = 32, kBlockGroups = 4;
constexpr int kGroupBytes = kGroup / 2, kBlockBytes = kBlockGroups * kGroupBytes;

// A group of weights as integers, its columns in the order of code_column().
struct Codes {
  V16 part[kParts];
};

// Weights as stored become integers.
class Decoder {
 public:
#if HWY_TARGET <= HWY_AVX3
  // Each word gets the byte of its column, and from it the low or the high half as the index of a look-up. The look-up
  // reads five bits; the fifth does not matter.
  HWY_INLINE Decoder() {
    alignas(64) static constexpr uint16_t kShift[32] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4,
                                                        0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
    shift_ = _mm512_load_si512(kShift);
    alignas(64) static constexpr uint8_t kBytes[64] = {
        0,  0,  1,  1,  2, 2, 3, 3, 4,  4,  5,  5,  6,  6,  7,  7,  0,  0,  1,  1,  2,  2,
        3,  3,  4,  4,  5, 5, 6, 6, 7,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 13, 13,
        14, 14, 15, 15, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15};
    bytes_ = _mm512_load_si512(kBytes);
  }
#endif

  // Group g of the block at `block`.
  HWY_INLINE Codes group(int g, const uint8_t* block, const CodeTable& table) const {
#if HWY_TARGET <= HWY_AVX3
    const __m512i words = _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + g)), bytes_);
    return {
        {V16{_mm512_permutexvar_epi16(_mm512_srlv_epi16(words, shift_), _mm512_load_si512(table.words))}}};
#else
    const __m256i packed =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + g));
    const __m256i halves = _mm256_srlv_epi64(packed, _mm256_set_epi64x(4, 4, 0, 0));
    const __m256i index = _mm256_and_si256(halves, _mm256_set1_epi8(15));
    const __m256i low_table =
        _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table.low)));
    const __m256i high_table =
        _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table.high)));
    const __m256i low = _mm256_shuffle_epi8(low_table, index);
    const __m256i high = _mm256_shuffle_epi8(high_table, index);
    return {{V16{_mm256_unpacklo_epi8(low, high)}, V16{_mm256_unpackhi_epi8(low, high)}}};
#endif
  }

 private:
#if HWY_TARGET <= HWY_AVX3
  __m512i bytes_, shift_;
#endif
};

// sum + a[2l] * b[2l] + a[2l+1] * b[2l+1] for each lane l.
HWY_INLINE VI add_pairs(V16 a, V16 b, VI sum) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpwssd_epi32(sum.raw, a.raw, b.raw)};
#elif HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VI{_mm512_madd_epi16(a.raw, b.raw)});
#else
  return hn::Add(sum, VI{_mm256_madd_epi16(a.raw, b.raw)});
#endif
}

// Adds the products of `kGroups` decoded groups of each output, from group `first` of the block on, with a row's,
// times the units of the outputs' scales and the scale of the row. A unit counts eighths of coarse: without the fine
// parts the sum of products and the unit are shifted alike.
template <int kGroups, int kOutputs>
HWY_INLINE void add_products(const Codes (&weights)[kOutputs][kBlockGroups], int64_t first,
                             const CodeBlock& x, const uint8_t (&scales)[kOutputs],
                             Sixteen* const (&sums)[kOutputs]) {
  const D d;
  const D16 d16;
  const DI di;
  VI products[kOutputs][kParts];
  const auto add = [&](const int16_t* columns) HWY_ATTR {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) {
        const V16 row = hn::Load(d16, columns + (first + g) * kGroup + p * 2 * kLanes);
#pragma GCC unroll 4
        for (int o = 0; o < kOutputs; ++o)
          products[o][p] = add_pairs(weights[o][first + g].part[p], row, products[o][p]);
      }
    }
  };
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) products[o][p] = hn::Zero(di);
  }
  add(x.coarse);
  const float* units = kCoarseUnit.data();
  if (HWY_UNLIKELY(x.has_fine)) {
    units = kFineUnit.data();
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) products[o][p] = hn::ShiftLeft<3>(products[o][p]);
    }
    add(x.fine);
  }
  const V row_scale = hn::Set(d, x.scale);
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
    const V factor = hn::Mul(hn::Set(d, units[scales[o]]), row_scale);
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p)
      sums[o]->part[p] = hn::MulAdd(hn::ConvertTo(d, products[o][p]), factor, sums[o]->part[p]);
  }
}

// Whether a block with these scales can be summed as a whole.
HWY_INLINE bool in_reach(const uint8_t* scales, int64_t groups) {
  for (int64_t g = 1; g < groups; ++g) {
    if (scales[g] - scales[0] > kScaleReach || scales[0] - scales[g] > kScaleReach) return false;
  }
  return true;
}

// Whether in_reach() for each block of an output, or of several whose last blocks are whole.
HWY_INLINE bool all_in_reach(const uint8_t* scales, int64_t groups) {
  const hn::ScalableTag<uint8_t> d8;
  constexpr int64_t kBytes = static_cast<int64_t>(hn::MaxLanes(d8));
  alignas(16) static constexpr uint8_t kFirst[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
  const auto first_of_block = hn::LoadDup128(d8, kFirst);
  auto farthest = hn::Zero(d8);
  int64_t g = 0;
  for (; g + kBytes <= groups; g += kBytes) {
    const auto these = hn::LoadU(d8, scales + g), first = hn::TableLookupBytes(these, first_of_block);
    farthest = hn::Max(farthest, hn::Or(hn::SaturatedSub(these, first), hn::SaturatedSub(first, these)));
  }
  if (!hn::AllTrue(d8, hn::Eq(hn::Min(farthest, hn::Set(d8, uint8_t{kScaleReach})), farthest))) return false;
  for (; g < groups; g += kBlockGroups) {
    if (!in_reach(scales + g, std::min<int64_t>(kBlockGroups, groups - g))) return false;
  }
  return true;
}

// fp4 weights as integers times rows as integers.
struct CodeKernel {
  static constexpr int64_t kBlockBytes = ft::cpu::HWY_NAMESPACE::kBlockBytes;
  static constexpr int64_t kRowBytes = kBlockColumns * sizeof(int16_t);
  static constexpr int together(int rows) { return kLanes < 16 ? 1 : rows == 1 ? 4 : 2; }

  class Panel {
   public:
    Panel(const LinearJob& job, const Tile& tile)
        : groups_(job.weight->cols / kGroup),
          bytes_(static_cast<const uint8_t*>(job.weight->data) + tile.first * row_bytes()),
          scales_(job.weight->scale + tile.first * groups_) {
      // The scales of the next panel lie behind these.
      const int64_t count = tile.count * groups_;
      for (int64_t line = 0; line < count; line += 64) hwy::Prefetch(scales_ + count + line);
      all_whole_ = groups_ % kBlockGroups == 0 && all_in_reach(scales_, count);
      if (all_whole_) return;
      for (int64_t o = 0; o < tile.count; ++o) whole_[o] = all_in_reach(scales(o), groups_);
    }

    int64_t row_bytes() const { return groups_ * kGroupBytes; }
    int64_t groups() const { return groups_; }
    const uint8_t* bytes(int64_t output) const { return bytes_ + output * row_bytes(); }
    const uint8_t* scales(int64_t output) const { return scales_ + output * groups_; }
    // Blocks from the first on that can be summed as a whole.
    int64_t whole_blocks(int64_t output) const {
      return all_whole_ || whole_[output] ? groups_ / kBlockGroups : 0;
    }

   private:
    int64_t groups_;
    const uint8_t* bytes_;
    const uint8_t* scales_;
    bool all_whole_;
    bool whole_[kPanelOutputs];  // where not all are
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
    HWY_INLINE Outputs(const Panel& panel, int64_t first) : whole(panel.whole_blocks(first)) {
      for (int o = 0; o < kOutputs; ++o) {
        bytes[o] = panel.bytes(first + o);
        scales[o] = panel.scales(first + o);
        whole = std::min(whole, panel.whole_blocks(first + o));
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
    Codes weights[kOutputs][kBlockGroups];
    uint8_t first_scales[kOutputs];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const uint8_t* data = outputs.bytes[o] + block * kBlockBytes;
      const uint8_t* scales = outputs.scales[o] + block * kBlockGroups;
      const CodeTable* tables = kCodeTables.data() + kScaleReach - scales[0];
      first_scales[o] = scales[0];
#pragma GCC unroll 4
      for (int g = 0; g < kBlockGroups; ++g)
        weights[o][g] = outputs.decoder.group(g, data, tables[scales[g]]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      Sixteen* row_sums[kOutputs];
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) row_sums[o] = &sums[o][r];
      add_products<kBlockGroups>(weights, 0, rows.block(r, block), first_scales, row_sums);
    }
  }

  template <int kRows, int kOutputs>
  static HWY_INLINE bool add_last_block(const Outputs<kOutputs>&, const Rows&, int64_t,
                                        Sixteen (&)[kOutputs][kRows]) {
    return false;
  }

  // A block of fewer than four groups, or with scales that lie far apart.
  template <int kRows, int kOutputs>
  static HWY_NOINLINE void add_odd_block(const Panel& panel, const Outputs<kOutputs>& outputs,
                                         const Rows& rows, int64_t block, Sixteen* sums) {
    const int64_t groups = std::min<int64_t>(kBlockGroups, panel.groups() - block * kBlockGroups);
    for (int o = 0; o < kOutputs; ++o, sums += kRowsMost) {
      const uint8_t* scales = outputs.scales[o] + block * kBlockGroups;
      HWY_ALIGN uint8_t bytes[kBlockBytes] = {};  // Groups that are missing add zeros.
      std::memcpy(bytes, outputs.bytes[o] + block * kBlockBytes, static_cast<size_t>(groups * kGroupBytes));
      const bool whole = in_reach(scales, groups);
      int shift[kBlockGroups];
      for (int g = 0; g < kBlockGroups; ++g)
        shift[g] = whole && g < groups ? scales[g] - scales[0] + kScaleReach : kScaleReach;
      Codes weights[1][kBlockGroups];
      for (int g = 0; g < kBlockGroups; ++g)
        weights[0][g] = outputs.decoder.group(g, bytes, kCodeTables[shift[g]]);
      for (int r = 0; r < kRows; ++r) {
        const CodeBlock& x = rows.block(r, block);
        if (whole) {
          add_products<kBlockGroups, 1>(weights, 0, x, {scales[0]}, {sums + r});
          continue;
        }
        for (int64_t g = 0; g < groups; ++g) add_products<1, 1>(weights, g, x, {scales[g]}, {sums + r});
      }
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
