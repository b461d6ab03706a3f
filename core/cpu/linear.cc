#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/linear.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <array>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/cpu/decode-inl.h"
#include "core/cpu/tile-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// The bytes of one output's weights: whole groups as stored, and the columns behind them in a copy,
// zero-padded to a group.
template <class Decode>
class WeightRow {
 public:
  HWY_INLINE void open(const Weight& weight, int64_t output) {
    data_ = static_cast<const uint8_t*>(weight.data) + output * row_bytes(weight);
    scales_ = Decode::scale_row(weight, output);
    whole_groups_ = weight.cols / kGroup;
    const int64_t rest = weight.cols % kGroup * Decode::kGroupBytes / kGroup;
    if (rest == 0) return;
    std::memset(tail_, 0, sizeof tail_);
    std::memcpy(tail_, data_ + whole_groups_ * Decode::kGroupBytes, static_cast<size_t>(rest));
  }

  static int64_t row_bytes(const Weight& weight) { return weight.cols * Decode::kGroupBytes / kGroup; }

  HWY_INLINE const uint8_t* group(int64_t index) const {
    return HWY_LIKELY(index < whole_groups_) ? data_ + index * Decode::kGroupBytes : tail_;
  }
  HWY_INLINE void decode(int64_t index, V* w) const {
    Decode::decode(group(index), Decode::group_scale(scales_, index), w);
  }
  HWY_INLINE float factor(int64_t block) const { return Decode::factor(scales_, block); }

 private:
  const uint8_t* data_ = nullptr;
  const uint8_t* scales_ = nullptr;
  int64_t whole_groups_ = 0;
  HWY_ALIGN uint8_t tail_[Decode::kGroupBytes];
};

HWY_INLINE int64_t groups_in_block(const Weight& weight, int64_t block) {
  return std::min<int64_t>(kBlockGroups, (weight.cols + kGroup - 1) / kGroup - block * kBlockGroups);
}

template <bool kScaled>
HWY_INLINE void add_block(const Sixteen& part, V factor, Sixteen& sum) {
#pragma GCC unroll 2
  for (int p = 0; p < kParts; ++p) {
    sum.part[p] =
        kScaled ? hn::MulAdd(part.part[p], factor, sum.part[p]) : hn::Add(part.part[p], sum.part[p]);
  }
}

// Outputs whose sums are formed side by side.
constexpr int kPanelOutputs = 16;

// --- few rows: outputs go through a chunk of columns one after the other, their weights decoded into
// registers; of one row a chunk is all columns, so that weights are read from end to end as they lie ---

constexpr int kFewRows = kLanes == 16 ? 2 : 4;
// Blocks of all rows together in a chunk: 32 KB, so that they stay in the first cache.
constexpr int64_t kChunkRowBlocks = 64;
// Bytes from what is read to what is fetched: memory answers in time, and what comes next is next in memory.
constexpr int64_t kAhead = 2048;

// Adds to the sums of one output what each of the pieces gives for kRows rows.
template <class Decode, int kRows>
FT_INNERMOST void add_chunk(const LinearJob& job, const WeightRow<Decode>& row, const float* const* x,
                            const Pieces& pieces, Sixteen (*out)[kRows]) {
  const D d;
  const auto add_group = [&](int64_t group, int64_t column, Sixteen(&part)[kRows]) HWY_ATTR {
    V w[kVectors];
    row.decode(group, w);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        V& lanes = part[r].part[v % kParts];
        lanes = hn::MulAdd(w[v], hn::LoadU(d, x[r] + column + v * kLanes), lanes);
      }
    }
  };
  for (int piece = 0; piece < pieces.count; ++piece) {
    Sixteen sum[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sum[r] = pieces.first ? zero16() : out[piece][r];
    for (int64_t block = pieces.at[piece]; block < pieces.at[piece + 1]; ++block) {
      Sixteen part[kRows];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) part[r] = zero16();
      const uint8_t* bytes = row.group(block * kBlockGroups);
#pragma GCC unroll 8
      for (int line = 0; line < kBlockGroups * Decode::kGroupBytes; line += 64)
        hwy::Prefetch(bytes + kAhead + line);
      const int64_t column = block * job.x.floats.block_stride;
      const int64_t groups = groups_in_block(*job.weight, block);
      if (HWY_LIKELY(groups == kBlockGroups)) {
#pragma GCC unroll 4
        for (int g = 0; g < kBlockGroups; ++g) add_group(block * kBlockGroups + g, column + g * kGroup, part);
      } else {
        for (int64_t g = 0; g < groups; ++g) add_group(block * kBlockGroups + g, column + g * kGroup, part);
      }
      const V factor = hn::Set(d, row.factor(block));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) add_block<Decode::kScaled>(part[r], factor, sum[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) out[piece][r] = sum[r];
  }
}

template <class Decode, int kRows>
void run_few(const LinearJob& job, int64_t begin, int64_t end) {
  constexpr int kPartsAtOnce = kShards / kRows;
  const int64_t blocks = blocks_of(job.weight->cols);
  while (begin < end) {
    const Tile panel(job, begin, std::min(kPanelOutputs / kTileOutputs, end - begin));
    const float* x[kRows];
    for (int r = 0; r < kRows; ++r) {
      x[r] = job.x.floats.from_row(job.source_row(r)).data + panel.group * blocks * job.x.floats.block_stride;
    }
    WeightRow<Decode> outputs[kPanelOutputs];
    Sixteen sums[kPanelOutputs][kPartsAtOnce][kRows];
    for (int64_t o = 0; o < panel.count; ++o) outputs[o].open(*job.weight, panel.first + o);
    const int64_t tiles = (panel.count + kTileOutputs - 1) / kTileOutputs;
    for (int part = 0; part < job.parts(); part += kPartsAtOnce) {
      const int last = std::min(job.parts(), part + kPartsAtOnce);
      // Behind the last output, up to a whole tile.
      for (int64_t o = panel.count; o < tiles * kTileOutputs; ++o)
        for (int p = 0; p < last - part; ++p) std::fill_n(sums[o][p], kRows, zero16());
      const int64_t count = job.edge(last) - job.edge(part);
      const int64_t chunk = equal_chunk(count, (count * kRows + kChunkRowBlocks - 1) / kChunkRowBlocks);
      for_pieces(job, part, last, chunk, panel.count, [&](int64_t o, const Pieces& pieces) HWY_ATTR {
        add_chunk<Decode, kRows>(job, outputs[o], x, pieces, sums[o]);
      });
      for (int p = 0; p < last - part; ++p) {
        for (int r = 0; r < kRows; ++r)
          store_panel(job, panel, r, part + p, [&](int64_t o) HWY_ATTR { return sums[o][p][r]; });
      }
    }
    begin += tiles;
  }
}

// --- more rows: panels of outputs, block of columns by block of columns, so that what the rows hold of a
// block stays in the first cache while all outputs of the panel use it; weights are decoded once for all rows
// ---

constexpr int kPanelRows = 16;

// Rows and outputs that are multiplied together, so that their sums of a block stay in registers.
constexpr int kRowsMost = kLanes == 16 ? 8 : 3;
constexpr int kRowsOfTile =
    kLanes == 16 ? 6 : 0;  // up to as many with all outputs of a tile, more with half of them

// Keeps a value in a register: the compiler would rather load it again for every product, and there are more
// products than loads in a cycle.
HWY_INLINE V in_register(V v) {
  asm("" : "+v"(v.raw));
  return v;
}

// Sums of a panel are [kPanelOutputs, kPanelRows].

template <bool kScaled, int kRows, int kOutputs>
FT_INNERMOST void multiply_block(const float* const* w, const float* const* x, int64_t columns,
                                 const float* factor, Sixteen* sums) {
  const D d;
  V part[kRows][kOutputs][kParts];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) part[r][o][p] = hn::Zero(d);
    }
  }
  for (int64_t c = 0; c < columns; c += kSumLanes) {
#pragma GCC unroll 2
    for (int p = 0; p < kParts; ++p) {
      V weights[kOutputs];
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) weights[o] = hn::LoadU(d, w[o] + c + p * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const V row = in_register(hn::LoadU(d, x[r] + c + p * kLanes));
#pragma GCC unroll 4
        for (int o = 0; o < kOutputs; ++o) part[r][o][p] = hn::MulAdd(weights[o], row, part[r][o][p]);
      }
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
    const V scale = hn::Set(d, factor[o]);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      Sixteen block;
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) block.part[p] = part[r][o][p];
      add_block<kScaled>(block, scale, sums[o * kPanelRows + r]);
    }
  }
}

// All four outputs of a tile for kRows rows.
template <bool kScaled, int kRows>
void multiply_tile(const float* const* w, const float* const* x, int64_t columns, const float* factor,
                   Sixteen* sums) {
  if constexpr (kRows <= kRowsOfTile) {
    multiply_block<kScaled, kRows, 4>(w, x, columns, factor, sums);
  } else {
    multiply_block<kScaled, kRows, 2>(w, x, columns, factor, sums);
    multiply_block<kScaled, kRows, 2>(w + 2, x, columns, factor + 2, sums + 2 * kPanelRows);
  }
}

using MultiplyTile = void (*)(const float* const*, const float* const*, int64_t, const float*, Sixteen*);
template <bool kScaled, int... kRows>
constexpr std::array<MultiplyTile, sizeof...(kRows)> multipliers(std::integer_sequence<int, kRows...>) {
  return {multiply_tile<kScaled, kRows + 1>...};
}

template <class Decode>
void run_panel(const LinearJob& job, const Tile& panel, int64_t row, int64_t rows, int part, Sixteen* sums) {
  static constexpr auto kMultiply =
      multipliers<Decode::kScaled>(std::make_integer_sequence<int, kRowsMost>());
  const D d;
  // The rows in equal parts.
  const int64_t parts = (rows + kRowsMost - 1) / kRowsMost, part_rows = (rows + parts - 1) / parts;
  const int64_t row_bytes = WeightRow<Decode>::row_bytes(*job.weight);
  WeightRow<Decode> outputs[kPanelOutputs];
  for (int64_t o = 0; o < panel.count; ++o) outputs[o].open(*job.weight, panel.first + o);
  // Also behind the last output, up to a whole tile.
  for (int64_t o = 0; o < (panel.count + kTileOutputs - 1) / kTileOutputs * kTileOutputs; ++o)
    std::fill_n(sums + o * kPanelRows, rows, zero16());
  const float* x[kPanelRows];
  for (int64_t r = 0; r < rows; ++r) {
    x[r] = job.x.floats.from_row(job.source_row(row + r)).data +
           (panel.group * blocks_of(job.weight->cols) + job.edge(part)) * job.x.floats.block_stride;
  }
  HWY_ALIGN float decoded[kTileOutputs][kBlockColumns];
  const float* w[kTileOutputs] = {decoded[0], decoded[1], decoded[2], decoded[3]};
  for (int64_t block = job.edge(part); block < job.edge(part + 1); ++block) {
    const int64_t groups = groups_in_block(*job.weight, block);
    for (int64_t tile = 0; tile < panel.count; tile += kTileOutputs) {
      float factor[kTileOutputs] = {};
      for (int64_t o = 0; o < kTileOutputs; ++o) {
        // The last tile of a matrix may be short; its sums behind the end are never read.
        const WeightRow<Decode>& output = outputs[std::min(tile + o, panel.count - 1)];
        const uint8_t* next = output.group(block * kBlockGroups) + kPanelOutputs * row_bytes;
        for (int line = 0; line < kBlockGroups * Decode::kGroupBytes; line += 64)
          __builtin_prefetch(next + line, 0,
                             2);  // to the second cache: the panel ahead is larger than the first
        for (int64_t g = 0; g < groups; ++g) {
          V vectors[kVectors];
          output.decode(block * kBlockGroups + g, vectors);
          for (int v = 0; v < kVectors; ++v) hn::Store(vectors[v], d, decoded[o] + g * kGroup + v * kLanes);
        }
        factor[o] = output.factor(block);
      }
      for (int64_t r = 0; r < rows; r += part_rows) {
        kMultiply[std::min(part_rows, rows - r) - 1](w, x + r, groups * kGroup, factor,
                                                     sums + tile * kPanelRows + r);
      }
    }
    for (int64_t r = 0; r < rows; ++r) x[r] += job.x.floats.block_stride;
  }
}

template <class Decode>
void run_panels(const LinearJob& job, int64_t begin, int64_t end) {
  Sixteen sums[kPanelOutputs * kPanelRows];
  for (int64_t row = 0; row < job.rows; row += kPanelRows) {
    const int64_t rows = std::min<int64_t>(kPanelRows, job.rows - row);
    for (int64_t t = begin; t < end;) {
      const Tile panel(job, t, std::min<int64_t>(kPanelOutputs / kTileOutputs, end - t));
      const int64_t tiles = (panel.count + kTileOutputs - 1) / kTileOutputs;
      for (int part = 0; part < job.parts(); ++part) {
        run_panel<Decode>(job, panel, row, rows, part, sums);
        for (int64_t r = 0; r < rows; ++r)
          store_panel(job, panel, row + r, part,
                      [&](int64_t o) HWY_ATTR { return sums[o * kPanelRows + r]; });
      }
      t += tiles;
    }
  }
}

template <class Decode>
void run_tiles(const LinearJob& job, int64_t begin, int64_t end) {
  if (job.rows == 1) return run_few<Decode, 1>(job, begin, end);
  if (job.rows == 2) return run_few<Decode, 2>(job, begin, end);
  if constexpr (kFewRows == 4) {
    if (job.rows == 3) return run_few<Decode, 3>(job, begin, end);
    if (job.rows == 4) return run_few<Decode, 4>(job, begin, end);
  }
  run_panels<Decode>(job, begin, end);
}

void linear_tiles_target(const LinearJob& job, int64_t begin, int64_t end) {
  switch (job.weight->format) {
    case WeightFormat::kF32:
      return run_tiles<DecodeF32>(job, begin, end);
    case WeightFormat::kBF16:
      return run_tiles<DecodeBf16>(job, begin, end);
    case WeightFormat::kFp8Block:
      return run_tiles<DecodeFp8>(job, begin, end);
    case WeightFormat::kFp4Row:
      return run_tiles<DecodeFp4>(job, begin, end);
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(linear_tiles_target);

void linear_tiles(const LinearJob& job, int64_t begin, int64_t end) {
  if (job.x.codes.coarse != nullptr) {
    FT_CHECK(job.weight->format == WeightFormat::kFp4Row, static_cast<int>(job.weight->format));
    return linear_codes_tiles(job, begin, end);
  }
  HWY_DYNAMIC_DISPATCH(linear_tiles_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
