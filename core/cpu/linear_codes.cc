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

#include <array>
#include <utility>

#include "core/cpu/tables.h"
#include "core/cpu/tile-inl.h"
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

HWY_INLINE Codes decode(const uint8_t* bytes, const CodeTable& table) {
#if HWY_TARGET <= HWY_AVX3
  // Each quarter of the vector gets the bytes of its columns as words, and from them the low or the high half
  // as the index of a look-up. The look-up reads five bits; the fifth does not matter.
  const hn::FixedTag<uint8_t, 64> d8;
  alignas(64) static constexpr uint8_t kSpread[64] = {
      0,  0,  1,  1,  2, 2, 3, 3, 4,  4,  5,  5,  6,  6,  7,  7,  0,  0,  1,  1,  2,  2,
      3,  3,  4,  4,  5, 5, 6, 6, 7,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 13, 13,
      14, 14, 15, 15, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15};
  alignas(64) static constexpr uint16_t kShift[32] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4,
                                                      0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
  const __m512i packed = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  const __m512i words = _mm512_shuffle_epi8(packed, hn::Load(d8, kSpread).raw);
  const __m512i index = _mm512_srlv_epi16(words, _mm512_load_si512(kShift));
  return {{V16{_mm512_permutexvar_epi16(index, _mm512_load_si512(table.words))}}};
#else
  const __m256i packed =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
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

// sum + a[2l] * b[2l] + a[2l+1] * b[2l+1] for each lane l.
HWY_INLINE VI add_products(V16 a, V16 b, VI sum) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpwssd_epi32(sum.raw, a.raw, b.raw)};
#elif HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VI{_mm512_madd_epi16(a.raw, b.raw)});
#else
  return hn::Add(sum, VI{_mm256_madd_epi16(a.raw, b.raw)});
#endif
}

// The products of `kGroups` decoded groups with one block of a row, as float32.
template <int kGroups>
HWY_INLINE Sixteen multiply(const Codes* weights, const int16_t* coarse, const int16_t* fine, bool has_fine) {
  const D d;
  const D16 d16;
  const DI di;
  Sixteen products;
#pragma GCC unroll 2
  for (int p = 0; p < kParts; ++p) {
    VI sum = hn::Zero(di);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g)
      sum = add_products(weights[g].part[p], hn::LoadU(d16, coarse + g * kGroup + p * 2 * kLanes), sum);
    sum = hn::ShiftLeft<3>(sum);
    if (HWY_UNLIKELY(has_fine)) {
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g)
        sum = add_products(weights[g].part[p], hn::LoadU(d16, fine + g * kGroup + p * 2 * kLanes), sum);
    }
    products.part[p] = hn::ConvertTo(d, sum);
  }
  return products;
}

HWY_INLINE void add_scaled(const Sixteen& products, V factor, Sixteen& sum) {
#pragma GCC unroll 2
  for (int p = 0; p < kParts; ++p) sum.part[p] = hn::MulAdd(products.part[p], factor, sum.part[p]);
}

// Whether a block with these scales can be summed as a whole.
HWY_INLINE bool in_reach(const uint8_t* scales, int64_t groups) {
  for (int64_t g = 1; g < groups; ++g) {
    if (scales[g] - scales[0] > kScaleReach || scales[0] - scales[g] > kScaleReach) return false;
  }
  return true;
}

// The weights of one output.
class CodeRow {
 public:
  CodeRow() = default;
  CodeRow(const Weight& weight, int64_t output)
      : bytes_(static_cast<const uint8_t*>(weight.data) + output * (weight.cols / 2)),
        scales_(weight.scale + output * (weight.cols / kGroup)) {
    // The scales of four blocks at a time against the first of each.
    const hn::FixedTag<uint8_t, 16> d8;
    alignas(16) static constexpr uint8_t kFirst[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    auto farthest = hn::Zero(d8);
    const int64_t groups = weight.cols / kGroup;
    int64_t g = 0;
    const auto far_from_first = [&](auto scales) HWY_ATTR {
      const auto first = hn::TableLookupBytes(scales, hn::Load(d8, kFirst));
      farthest = hn::Max(farthest, hn::Or(hn::SaturatedSub(scales, first), hn::SaturatedSub(first, scales)));
    };
    for (; g + 16 <= groups; g += 16) far_from_first(hn::LoadU(d8, scales_ + g));
    even_ = hn::AllTrue(d8, hn::Eq(hn::Min(farthest, hn::Set(d8, kScaleReach)), farthest));
    for (; g < groups; g += kBlockGroups)
      even_ = even_ && in_reach(scales_ + g, std::min<int64_t>(kBlockGroups, groups - g));
  }

  const uint8_t* bytes(int64_t block) const { return bytes_ + block * kBlockBytes; }
  const uint8_t* scales(int64_t block) const { return scales_ + block * kBlockGroups; }
  // Whether every block can be summed as a whole.
  bool even() const { return even_; }

 private:
  const uint8_t* bytes_ = nullptr;
  const uint8_t* scales_ = nullptr;
  bool even_ = true;
};

// A block of fewer than four groups, or with scales that lie far apart.
HWY_INLINE void add_odd_block(const CodeRow& row, const CodeRows& x, const int64_t* places, int64_t rows,
                              int64_t block, int64_t groups, Sixteen* sums) {
  const D d;
  const uint8_t* scales = row.scales(block);
  Codes weights[kBlockGroups];
  const bool whole = in_reach(scales, groups);
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    // Groups that are missing add zeros.
    if (g >= groups) {
      for (int p = 0; p < kParts; ++p) weights[g].part[p] = hn::Zero(D16());
      continue;
    }
    const int shift = whole ? scales[g] - scales[0] + kScaleReach : kScaleReach;
    weights[g] = decode(row.bytes(block) + g * kGroupBytes, kCodeTables[static_cast<size_t>(shift)]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t place = places[r] + block * x.rows;
    const int16_t* coarse = x.coarse + place * kBlockColumns;
    const int16_t* fine = x.fine + place * kBlockColumns;
    const V scale = hn::Set(d, x.scale[place]);
    if (whole) {
      const V factor = hn::Mul(hn::Set(d, kCodeUnit[scales[0]]), scale);
      add_scaled(multiply<kBlockGroups>(weights, coarse, fine, x.has_fine[place] != 0), factor, sums[r]);
      continue;
    }
    for (int64_t g = 0; g < groups; ++g) {
      const V factor = hn::Mul(hn::Set(d, kCodeUnit[scales[g]]), scale);
      add_scaled(multiply<1>(weights + g, coarse + g * kGroup, fine + g * kGroup, x.has_fine[place] != 0),
                 factor, sums[r]);
    }
  }
}

// A block of four groups with scales in reach of the first.
HWY_INLINE void decode_block(const CodeRow& row, int64_t block, Codes (&weights)[kBlockGroups]) {
  const uint8_t* scales = row.scales(block);
#pragma GCC unroll 4
  for (int g = 0; g < kBlockGroups; ++g) {
    weights[g] = decode(row.bytes(block) + g * kGroupBytes,
                        kCodeTables[static_cast<size_t>(scales[g] - scales[0] + kScaleReach)]);
  }
}

// Adds the products of a block with kRows rows, which stand at these places of x.
template <int kRows>
HWY_INLINE void add_block(const CodeRow& row, const CodeRows& x, const int64_t* places, int64_t block,
                          const Codes (&weights)[kBlockGroups], Sixteen (&sums)[kRows]) {
  const D d;
  const V unit = hn::Set(d, kCodeUnit[*row.scales(block)]);
  const int64_t first = block * x.rows;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const int64_t place = first + places[r];
    const Sixteen products = multiply<kBlockGroups>(weights, x.coarse + place * kBlockColumns,
                                                    x.fine + place * kBlockColumns, x.has_fine[place] != 0);
    add_scaled(products, hn::Mul(unit, hn::Set(d, x.scale[place])), sums[r]);
  }
}

// Rows whose sums stay in registers.
constexpr int kRowsMost = kLanes == 16 ? 8 : 4;
// Outputs that go through a chunk of columns one after the other, and blocks of all rows together in a chunk:
// what the rows hold of it (24 KB) then stays in the first cache.
constexpr int64_t kPanelOutputs = 16;
constexpr int64_t kChunkRowBlocks = 96;
// Up to so many of all rows of a call, all columns are one chunk: weights are then read from end to end as
// they lie. (Of some of the rows, blocks lie further apart and share places in the cache.)
constexpr int64_t kWholeRowBlocks = 128;
// Bytes from what is read to what is fetched: memory answers in time, and what comes next is next in memory.
constexpr int64_t kAhead = 2048;

// Adds to the sums of one output what each of the pieces gives for kRows rows.
template <int kRows>
FT_INNERMOST void add_chunk(const CodeRow& row, int64_t groups, const CodeRows& x, const int64_t* places,
                            const Pieces& pieces, Sixteen* out) {
  for (int piece = 0; piece < pieces.count; ++piece, out += kRows) {
    const int64_t begin = pieces.at[piece], end = pieces.at[piece + 1];
    const int64_t whole = row.even() ? std::min(end, groups / kBlockGroups) : begin;
    Sixteen sums[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sums[r] = pieces.first ? zero16() : out[r];
    for (int64_t block = begin; block < whole; ++block) {
      Codes weights[kBlockGroups];
      hwy::Prefetch(row.bytes(block) + kAhead);
      decode_block(row, block, weights);
      add_block<kRows>(row, x, places, block, weights, sums);
    }
    for (int64_t block = std::max(begin, whole); block < end; ++block) {
      add_odd_block(row, x, places, kRows, block,
                    std::min<int64_t>(kBlockGroups, groups - block * kBlockGroups), sums);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) out[r] = sums[r];
  }
}

using AddChunk = void (*)(const CodeRow&, int64_t, const CodeRows&, const int64_t*, const Pieces&, Sixteen*);
template <int... kRows>
constexpr std::array<AddChunk, sizeof...(kRows)> adders(std::integer_sequence<int, kRows...>) {
  return {add_chunk<kRows + 1>...};
}

void run_panel(const LinearJob& job, const Tile& panel, int64_t row, int64_t rows) {
  static constexpr auto kAdd = adders(std::make_integer_sequence<int, kRowsMost>());
  CodeRow outputs[kPanelOutputs];
  // Of as many parts of the columns at once as there is room for.
  const int parts_at_once = std::max<int>(1, static_cast<int>(kRowsMost / rows));
  Sixteen sums[kPanelOutputs][kRowsMost];
  for (int64_t o = 0; o < panel.count; ++o) outputs[o] = CodeRow(*job.weight, panel.first + o);
  int64_t places[kRowsMost];
  for (int64_t r = 0; r < rows; ++r) places[r] = job.source_row(row + r);
  for (int part = 0; part < job.parts(); part += parts_at_once) {
    const int last = std::min(job.parts(), part + parts_at_once);
    // Behind the last output, up to a whole tile.
    for (int64_t o = panel.count; o < (panel.count + kTileOutputs - 1) / kTileOutputs * kTileOutputs; ++o)
      std::fill_n(sums[o], (last - part) * rows, zero16());
    const int64_t count = job.edge(last) - job.edge(part), row_blocks = count * rows;
    const int64_t chunks = rows == job.rows && row_blocks <= kWholeRowBlocks
                               ? 1
                               : (row_blocks + kChunkRowBlocks - 1) / kChunkRowBlocks;
    for_pieces(job, part, last, equal_chunk(count, chunks), panel.count,
               [&](int64_t o, const Pieces& pieces) HWY_ATTR {
                 kAdd[static_cast<size_t>(rows - 1)](outputs[o], job.weight->cols / kGroup, job.x.codes,
                                                     places, pieces, sums[o]);
               });
    for (int p = 0; p < last - part; ++p) {
      for (int64_t r = 0; r < rows; ++r)
        store_panel(job, panel, row + r, part + p, [&](int64_t o) HWY_ATTR { return sums[o][p * rows + r]; });
    }
  }
}

void linear_codes_tiles_target(const LinearJob& job, int64_t begin, int64_t end) {
  // The rows in equal parts.
  const int64_t parts = (job.rows + kRowsMost - 1) / kRowsMost, part_rows = (job.rows + parts - 1) / parts;
  while (begin < end) {
    const Tile panel(job, begin, std::min(kPanelOutputs / kTileOutputs, end - begin));
    for (int64_t row = 0; row < job.rows; row += part_rows)
      run_panel(job, panel, row, std::min(part_rows, job.rows - row));
    begin += (panel.count + kTileOutputs - 1) / kTileOutputs;
  }
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
