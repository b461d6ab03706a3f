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

// Adds the products of `kGroups` decoded groups with one block of a row, times `unit` and the scale of the row.
// `unit` counts eighths of coarse: without the fine parts the sum of products and the unit are shifted alike.
template <int kGroups>
HWY_INLINE void add_products(const Codes* weights, const CodeRows& x, int64_t place, int64_t column,
                             uint8_t scale, Sixteen& sum) {
  const D d;
  const D16 d16;
  const DI di;
  const int16_t* coarse = x.coarse + place * kBlockColumns + column;
  VI products[kParts];
#pragma GCC unroll 2
  for (int p = 0; p < kParts; ++p) {
    products[p] = hn::Zero(di);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g)
      products[p] =
          add_pairs(weights[g].part[p], hn::LoadU(d16, coarse + g * kGroup + p * 2 * kLanes), products[p]);
  }
  float unit = kCoarseUnit[scale];
  if (HWY_UNLIKELY(x.has_fine[place] != 0)) {
    const int16_t* fine = coarse + (x.fine - x.coarse);
    unit = kFineUnit[scale];
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) {
      products[p] = hn::ShiftLeft<3>(products[p]);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g)
        products[p] =
            add_pairs(weights[g].part[p], hn::LoadU(d16, fine + g * kGroup + p * 2 * kLanes), products[p]);
    }
  }
  const V factor = hn::Mul(hn::Set(d, unit), hn::Set(d, x.scale[place]));
#pragma GCC unroll 2
  for (int p = 0; p < kParts; ++p)
    sum.part[p] = hn::MulAdd(hn::ConvertTo(d, products[p]), factor, sum.part[p]);
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

  class Panel {
   public:
    Panel(const LinearJob& job, const Tile& tile)
        : groups_(job.weight->cols / kGroup),
          bytes_(static_cast<const uint8_t*>(job.weight->data) + tile.first * row_bytes()),
          scales_(job.weight->scale + tile.first * groups_) {
      // The scales of the next panel lie behind these.
      const int64_t count = tile.count * groups_;
      for (int64_t line = 0; line < count; line += 64) hwy::Prefetch(scales_ + count + line);
      const bool all = groups_ % kBlockGroups == 0 && all_in_reach(scales_, count);
      for (int64_t o = 0; o < tile.count; ++o) whole_[o] = all || all_in_reach(scales(o), groups_);
    }

    int64_t row_bytes() const { return groups_ * kGroupBytes; }
    int64_t groups() const { return groups_; }
    const uint8_t* bytes(int64_t output) const { return bytes_ + output * row_bytes(); }
    const uint8_t* scales(int64_t output) const { return scales_ + output * groups_; }
    // Blocks from the first on that can be summed as a whole.
    int64_t whole_blocks(int64_t output) const { return whole_[output] ? groups_ / kBlockGroups : 0; }

   private:
    int64_t groups_;
    const uint8_t* bytes_;
    const uint8_t* scales_;
    bool whole_[kPanelOutputs];
  };

  struct Rows {
    Rows(const LinearJob& job, int64_t, int64_t row, int64_t rows) : x(job.x.codes) {
      for (int64_t r = 0; r < rows; ++r) places[r] = job.source_row(row + r);
    }
    const CodeRows& x;
    int64_t places[kRowsMost];
  };

  // A block of fewer than four groups, or with scales that lie far apart.
  template <int kRows>
  static HWY_NOINLINE void add_odd_block(const Panel& panel, int64_t output, int64_t block, const Rows& rows,
                                         Sixteen* sums) {
    const uint8_t* scales = panel.scales(output) + block * kBlockGroups;
    const int64_t groups = std::min<int64_t>(kBlockGroups, panel.groups() - block * kBlockGroups);
    HWY_ALIGN uint8_t bytes[kBlockBytes] = {};  // Groups that are missing add zeros.
    std::memcpy(bytes, panel.bytes(output) + block * kBlockBytes, static_cast<size_t>(groups * kGroupBytes));
    const bool whole = in_reach(scales, groups);
    int shift[kBlockGroups];
    for (int g = 0; g < kBlockGroups; ++g)
      shift[g] = whole && g < groups ? scales[g] - scales[0] + kScaleReach : kScaleReach;
    const Decoder decoder;
    Codes weights[kBlockGroups];
    for (int g = 0; g < kBlockGroups; ++g) weights[g] = decoder.group(g, bytes, kCodeTables[shift[g]]);
    for (int r = 0; r < kRows; ++r) {
      const int64_t place = block * rows.x.rows + rows.places[r];
      if (whole) {
        add_products<kBlockGroups>(weights, rows.x, place, 0, scales[0], sums[r]);
        continue;
      }
      for (int64_t g = 0; g < groups; ++g)
        add_products<1>(weights + g, rows.x, place, g * kGroup, scales[g], sums[r]);
    }
  }

  template <int kRows>
  static FT_INNERMOST void add(const Panel& panel, int64_t outputs, const Rows& rows, const Chunk& chunk,
                               Sixteen* out) {
    const CodeRows x = rows.x;
    const Decoder decoder;
    for (int64_t o = 0; o < outputs; ++o, out += kRowsMost) {
      const uint8_t* bytes = panel.bytes(o);
      const uint8_t* all_scales = panel.scales(o);
      const int64_t ahead = chunk.ahead(o), whole = panel.whole_blocks(o);
      for (int p = 0; p < chunk.parts; ++p) {
        Sixteen sums[kRows];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sums[r] = chunk.first ? zero16() : out[p * kRows + r];
        int64_t block = chunk.at[p];
        for (const int64_t end = std::min(whole, chunk.at[p + 1]); block < end; ++block) {
          const uint8_t* data = bytes + block * kBlockBytes;
          const uint8_t* scales = all_scales + block * kBlockGroups;
          const CodeTable* tables = kCodeTables.data() + kScaleReach - scales[0];
          hwy::Prefetch(data + ahead);
          Codes weights[kBlockGroups];
#pragma GCC unroll 4
          for (int g = 0; g < kBlockGroups; ++g) weights[g] = decoder.group(g, data, tables[scales[g]]);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r)
            add_products<kBlockGroups>(weights, x, block * x.rows + rows.places[r], 0, scales[0], sums[r]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) out[p * kRows + r] = sums[r];
        for (; HWY_UNLIKELY(block < chunk.at[p + 1]); ++block)
          add_odd_block<kRows>(panel, o, block, rows, out + p * kRows);
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
