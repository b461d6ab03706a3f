#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/linear.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <cstring>

#include "core/check.h"
#include "core/cpu/decode-inl.h"
#include "hwy/highway.h"

// ThreadSanitizer would watch every vector that the innermost loop reads, at many times the cost of the loop.
// What it reads are weights, which never change, and the rows of x that other ops read and write under watch;
// what it writes is watched.
#undef FT_INNERMOST
#if defined(__SANITIZE_THREAD__)
#define FT_INNERMOST HWY_NOINLINE __attribute__((no_sanitize("thread")))
#else
#define FT_INNERMOST HWY_INLINE
#endif

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// 1024 columns: long enough that folding the lanes costs nothing beside them,
// short enough that float32 sums stay sharp.
constexpr int64_t kChunkBlocks = 8;

// Rows that share a decoded vector, and outputs beside them, so that the accumulators stay in registers.
constexpr int kRowsMax = kLanes == 16 ? 8 : 4;
constexpr int outputs_for(int rows) {
  return kLanes == 16 ? (rows <= 4 ? 4 : 2) : (rows <= 2 ? 4 : 2);
}

// What one tile reads: four output rows (the last repeated at the end of a matrix)
// and up to kRowsMax activation rows.
struct Tile {
  const uint8_t* data[kTileOutputs];
  const uint8_t* scale[kTileOutputs];
  const uint8_t* tail[kTileOutputs];  // the columns after the last whole group, zero-padded to a group
  const float* x[kRowsMax];
  int64_t whole_groups;
  bool has_tail;
};

template <class Decode, int kRows, int kOutputs>
HWY_INLINE void add_group(const Tile& tile, const uint8_t* const* data, int64_t group,
                          const typename Decode::Scale* scale, int group_in_block, int64_t column,
                          V (&sum)[kRows][kOutputs]) {
  const D d;
#pragma GCC unroll 4
  for (int o = 0; o < kOutputs; ++o) {
    V w[kVectors];
    Decode::decode(data[o] + group * Decode::kGroupBytes, scale[o], group_in_block, w);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sum[r][o] = hn::MulAdd(w[v], hn::LoadU(d, tile.x[r] + column + v * kLanes), sum[r][o]);
      }
    }
  }
}

// Sums of kRows rows for the kOutputs outputs of the tile from `first` on, in the first lanes of `total`.
template <class Decode, int kRows, int kOutputs>
HWY_INLINE void sum_outputs(const Tile& tile, int first, V4 (&total)[kRows]) {
  const D d;
  const int64_t groups = tile.whole_groups + (tile.has_tail ? 1 : 0);
  const int64_t blocks = (groups + kBlockGroups - 1) / kBlockGroups;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) total[r] = hn::Zero(D4());
  for (int64_t chunk = 0; chunk < blocks; chunk += kChunkBlocks) {
    V sum[kRows][kOutputs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) sum[r][o] = hn::Zero(d);
    }
    const int64_t chunk_end = std::min(blocks, chunk + kChunkBlocks);
    for (int64_t block = chunk; block < chunk_end; ++block) {
      typename Decode::Scale scale[kOutputs];
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) scale[o] = Decode::scale(tile.scale[first + o], block);
      const int64_t group = block * kBlockGroups;
      const int64_t whole = std::min<int64_t>(kBlockGroups, tile.whole_groups - group);
      for (int64_t g = 0; g < whole; ++g) {
        add_group<Decode, kRows, kOutputs>(tile, tile.data + first, group + g, scale, static_cast<int>(g),
                                           (group + g) * kGroup, sum);
      }
      if (tile.has_tail && whole < kBlockGroups) {
        add_group<Decode, kRows, kOutputs>(tile, tile.tail + first, 0, scale, static_cast<int>(whole),
                                           (group + whole) * kGroup, sum);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      constexpr int kSecond = kOutputs == 4 ? 2 : 0;  // with two outputs the upper lanes are not used
      total[r] = hn::Add(total[r], sum_lanes4(sum[r][0], sum[r][1], sum[r][kSecond], sum[r][kSecond + 1]));
    }
  }
}

// Sums of kRows rows for all outputs of the tile.
template <class Decode, int kRows>
FT_INNERMOST void sum_tile(const Tile& tile, V4 (&total)[kRows]) {
  if constexpr (outputs_for(kRows) == 4) {
    sum_outputs<Decode, kRows, 4>(tile, 0, total);
  } else {
    V4 upper[kRows];
    sum_outputs<Decode, kRows, 2>(tile, 0, total);
    sum_outputs<Decode, kRows, 2>(tile, 2, upper);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) total[r] = hn::ConcatLowerLower(D4(), upper[r], total[r]);
  }
}

template <class Decode, int kRows>
void run_tile(const LinearJob& job, const Tile& tile, int64_t row, int64_t output, int64_t count) {
  const D4 d4;
  V4 total[kRows];
  sum_tile<Decode, kRows>(tile, total);
  for (int r = 0; r < kRows; ++r) {
    const V4 value = round_if(d4, total[r], job.round);
    float* y = job.y + (row + r) * job.y_stride + output;
    if (count == kTileOutputs) {
      hn::StoreU(value, d4, y);
    } else {
      HWY_ALIGN float lanes[4];
      hn::Store(value, d4, lanes);
      for (int64_t i = 0; i < count; ++i) y[i] = lanes[i];
    }
  }
}

template <class Decode>
void run_rows(int64_t rows, const LinearJob& job, const Tile& tile, int64_t row, int64_t output,
              int64_t count) {
  switch (rows) {
    case 1:
      return run_tile<Decode, 1>(job, tile, row, output, count);
    case 2:
      return run_tile<Decode, 2>(job, tile, row, output, count);
    case 3:
      return run_tile<Decode, 3>(job, tile, row, output, count);
    case 4:
      return run_tile<Decode, 4>(job, tile, row, output, count);
    default:
      break;
  }
  if constexpr (kRowsMax == 8) {
    switch (rows) {
      case 5:
        return run_tile<Decode, 5>(job, tile, row, output, count);
      case 6:
        return run_tile<Decode, 6>(job, tile, row, output, count);
      case 7:
        return run_tile<Decode, 7>(job, tile, row, output, count);
      case 8:
        return run_tile<Decode, 8>(job, tile, row, output, count);
      default:
        break;
    }
  }
}

template <class Decode>
void run_tiles(const LinearJob& job, int64_t begin, int64_t end) {
  const Weight& weight = *job.weight;
  const int64_t per_group = job.outputs_per_group();
  const int64_t tiles_per_group = (per_group + kTileOutputs - 1) / kTileOutputs;
  const int64_t row_bytes = weight.cols * Decode::kGroupBytes / kGroup;
  const int64_t padded = padded_columns(weight.cols);
  const int64_t tail_bytes = weight.cols % kGroup * Decode::kGroupBytes / kGroup;
  Tile tile;
  tile.whole_groups = weight.cols / kGroup;
  tile.has_tail = tail_bytes != 0;
  HWY_ALIGN uint8_t tails[kTileOutputs][4 * kGroup];
  for (int64_t t = begin; t < end; ++t) {
    const int64_t group = t / tiles_per_group;
    const int64_t first = t % tiles_per_group * kTileOutputs;
    const int64_t count = std::min(kTileOutputs, per_group - first);
    for (int64_t o = 0; o < kTileOutputs; ++o) {
      const int64_t output = group * per_group + first + std::min(o, count - 1);
      tile.data[o] = static_cast<const uint8_t*>(weight.data) + output * row_bytes;
      tile.scale[o] = Decode::scale_row(weight.scale, output, weight.cols);
      if (tile.has_tail) {
        std::memset(tails[o], 0, sizeof tails[o]);
        std::memcpy(tails[o], tile.data[o] + tile.whole_groups * Decode::kGroupBytes,
                    static_cast<size_t>(tail_bytes));
      }
      tile.tail[o] = tails[o];
    }
    for (int64_t row = 0; row < job.rows; row += kRowsMax) {
      const int64_t rows = std::min<int64_t>(kRowsMax, job.rows - row);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t source = job.x_rows != nullptr ? job.x_rows[row + r] : row + r;
        tile.x[r] = job.x + source * job.x_stride + group * padded;
      }
      run_rows<Decode>(rows, job, tile, row, group * per_group + first, count);
    }
  }
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
  HWY_DYNAMIC_DISPATCH(linear_tiles_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
