// The order in which linears go through outputs, columns and rows: a panel of outputs, a chunk of columns that is as
// long as the first cache holds of all rows, and within it a few outputs after the other, their weights decoded into
// registers for up to eight rows. Included once per instruction set.
#if defined(FT_CORE_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_PANEL_INL_H_
#undef FT_CORE_CPU_PANEL_INL_H_
#else
#define FT_CORE_CPU_PANEL_INL_H_
#endif

#include <array>
#include <span>
#include <utility>

#include "core/cpu/tile-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
// VNNI is part of every processor that the target stands for, but missing from Highway's list of its features.
// Products of bfloat16 are not: a kernel uses them by name, where target.h says that they are there.
#pragma GCC target("avx512vnni,avx512bf16")
#endif
namespace ft::cpu::HWY_NAMESPACE {

inline constexpr int64_t kPanelOutputs = 32;
// Rows whose sums stay in registers.
inline constexpr int kRowsMost = kLanes == 16 ? 8 : 4;
// What is fetched lies at least so many bytes behind what is read, in the order of reading: memory answers in time.
inline constexpr int64_t kAhead = 8192;
// Bytes of all rows in a chunk: what stays in the first cache beside the weights that pass through it.
inline constexpr int64_t kChunkBytes = 16384;

// Neighbouring parts of the columns, as many at once as there is room for sums, cut into chunks.
struct PartRange {
  int first, last;
  int64_t begin, end;     // in blocks of columns
  int64_t blocks;         // of a chunk
  int64_t outputs_ahead;  // so many outputs behind the one that is read are the weights that are fetched
};

// A chunk: of each of neighbouring parts the blocks of columns [at[i], at[i+1]).
struct Chunk {
  int parts;
  int64_t together;  // outputs read together: the kernel's number or 1
  bool first;        // nothing of these parts was summed before
  int64_t at[kShards + 1];
  // Where weights are that are read soon: `near` bytes behind those of an output, `wrapped` for the last `wrapping`.
  int64_t near, wrapped, wrapping;

  int64_t ahead(int64_t output) const { return output < kPanelOutputs - wrapping ? near : wrapped; }
};

// The vector at x, which that many outputs use. Where it is more than one it is loaded once: as an operand in memory
// it would be loaded for each of them, and two loads a cycle are what the first cache gives.
template <int kUses, class Tag>
HWY_INLINE hn::Vec<Tag> load_for(Tag d, const hn::TFromD<Tag>* x) {
  hn::Vec<Tag> vector = hn::LoadU(d, x);
  if (kUses > 1) asm("" : "+v"(vector.raw));
  return vector;
}

// A kernel has
//   kBlockBytes    of the weights of an output in a block
//   kRowBytes      of a prepared row in a block
//   together(rows) outputs that read that many rows together: a load of a row then serves them all
//   kRowsAtOnce    rows that are taken together at most, of more rows equal parts
//   Panel          the weights of a panel, from a job and the panel
//   Rows           prepared rows, from a job, a group, the first row and their number
//   Outputs<n>     n neighbouring outputs of a panel, from the panel and the first; `bytes` of the weights of each, and
//                  `whole`, the blocks from the first on that add_block() takes
//   add_block<kRows>(outputs, rows, block, sums)    adds a block to sums[output][row]
//   add_last_block<kRows>(outputs, rows, block, sums)   the same for the last block where it is not whole, if it can
//   add_odd_block<kRows>(panel, outputs, rows, block, sums)  adds any other block to sums[output * kRowsMost + row]
template <class Kernel, int kRows, int kOutputs>
HWY_INLINE void add_outputs(const typename Kernel::Panel& panel, int64_t first,
                            const typename Kernel::Rows& rows, const Chunk& chunk, Sixteen* out) {
  const typename Kernel::template Outputs<kOutputs> outputs(panel, first);
  const int64_t ahead = chunk.ahead(first);
  for (int p = 0; p < chunk.parts; ++p, out += kRows) {
    Sixteen sums[kOutputs][kRows];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[o][r] = chunk.first ? zero16() : out[o * kRowsMost + r];
    }
    int64_t block = chunk.at[p];
    for (const int64_t end = std::min(outputs.whole, chunk.at[p + 1]); block < end; ++block) {
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 8
        for (int line = 0; line < Kernel::kBlockBytes; line += 64)
          hwy::Prefetch(outputs.bytes[o] + block * Kernel::kBlockBytes + ahead + line);
      }
      Kernel::template add_block<kRows>(outputs, rows, block, sums);
    }
    if (block < chunk.at[p + 1] && Kernel::template add_last_block<kRows>(outputs, rows, block, sums))
      ++block;
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) out[o * kRowsMost + r] = sums[o][r];
    }
    for (; HWY_UNLIKELY(block < chunk.at[p + 1]); ++block)
      Kernel::template add_odd_block<kRows>(panel, outputs, rows, block, out);
  }
}

// Adds to sums[o * kRowsMost + i * kRows + r] what part i of the chunk gives for output o of the panel and row r.
template <class Kernel, int kRows>
FT_INNERMOST void add_chunk(const typename Kernel::Panel& panel, int64_t outputs,
                            const typename Kernel::Rows& rows, const Chunk& chunk, Sixteen* sums) {
  constexpr int kTogether = Kernel::together(kRows);
  int64_t o = 0;
  if (chunk.together > 1) {
    for (; o + kTogether <= outputs; o += kTogether)
      add_outputs<Kernel, kRows, kTogether>(panel, o, rows, chunk, sums + o * kRowsMost);
  }
  for (; o < outputs; ++o) add_outputs<Kernel, kRows, 1>(panel, o, rows, chunk, sums + o * kRowsMost);
}

template <class Kernel, int... kRows>
constexpr auto adders(std::integer_sequence<int, kRows...>) {
  using Add =
      void (*)(const typename Kernel::Panel&, int64_t, const typename Kernel::Rows&, const Chunk&, Sixteen*);
  return std::array<Add, sizeof...(kRows)>{add_chunk<Kernel, kRows + 1>...};
}

// How the columns are cut for up to `rows` rows at a time.
template <class Kernel>
class Cuts {
 public:
  Cuts(const LinearJob& job, int64_t rows) {
    const int64_t row_bytes = job.weight->cols * Kernel::kBlockBytes / kBlockColumns;
    // Outputs a page apart want the same places of the first cache, all the more the longer a block is.
    const bool apart = rows > 2 || Kernel::kBlockBytes <= 128 || row_bytes < 4096;
    together_ = apart ? Kernel::together(static_cast<int>(rows)) : 1;
    const int at_once = static_cast<int>(kRowsMost / rows);
    for (int part = 0; part < job.parts(); part += at_once) {
      PartRange& range = ranges_[count_++];
      range.first = part;
      range.last = std::min(job.parts(), part + at_once);
      range.begin = job.edge(range.first);
      range.end = job.edge(range.last);
      const int64_t count = range.end - range.begin;
      const int64_t chunks = (count * rows * Kernel::kRowBytes + kChunkBytes - 1) / kChunkBytes;
      range.blocks = std::max<int64_t>(1, (count + chunks - 1) / std::max<int64_t>(chunks, 1));
      // Outputs that are read together are fetched together.
      range.outputs_ahead =
          std::min<int64_t>(kPanelOutputs, ((kAhead - 1) / (range.blocks * Kernel::kBlockBytes) + together_) /
                                               together_ * together_);
    }
  }
  std::span<const PartRange> ranges() const { return {ranges_, static_cast<size_t>(count_)}; }
  int64_t together() const { return together_; }

 private:
  int64_t together_;
  PartRange ranges_[kShards];
  int count_ = 0;
};

template <class Kernel>
HWY_INLINE void run_panel(const LinearJob& job, const Cuts<Kernel>& cuts, const Tile& tile,
                          const typename Kernel::Panel& panel, int64_t row, int64_t rows) {
  static constexpr auto kAdd = adders<Kernel>(std::make_integer_sequence<int, kRowsMost>());
  const typename Kernel::Rows x(job, tile.group, row, rows);
  const int64_t row_bytes = panel.row_bytes(), all = job.edge(job.parts());
  const int64_t stored = (tile.count + kTileOutputs - 1) / kTileOutputs * kTileOutputs;
  Sixteen sums[kPanelOutputs][kRowsMost];
  for (const PartRange& range : cuts.ranges()) {
    // Behind the last output, up to a whole tile.
    for (int64_t o = tile.count; o < stored; ++o) std::fill_n(sums[o], kRowsMost, zero16());
    int64_t begin = range.begin;
    do {
      const int64_t next = std::min(range.end, begin + range.blocks);
      Chunk chunk;
      chunk.parts = range.last - range.first;
      chunk.together = cuts.together();
      chunk.first = begin == range.begin;
      for (int p = range.first; p <= range.last; ++p)
        chunk.at[p - range.first] = std::clamp(job.edge(p), begin, next);
      // Behind the last output comes the first of the next chunk, and behind the last chunk the next panel.
      chunk.near = range.outputs_ahead * row_bytes;
      chunk.wrapping = range.outputs_ahead;
      chunk.wrapped = next < all ? (range.outputs_ahead - kPanelOutputs) * row_bytes +
                                       (next - begin) * Kernel::kBlockBytes
                                 : range.outputs_ahead * row_bytes - begin * Kernel::kBlockBytes;
      kAdd[static_cast<size_t>(rows - 1)](panel, tile.count, x, chunk, sums[0]);
      begin = next;
    } while (begin < range.end);
    for (int p = 0; p < range.last - range.first; ++p) {
      for (int64_t r = 0; r < rows; ++r)
        store_panel(job, tile, row + r, range.first + p,
                    [&](int64_t o) HWY_ATTR { return sums[o][p * rows + r]; });
    }
  }
}

template <class Kernel>
void run_panels(const LinearJob& job, int64_t begin, int64_t end) {
  // The rows in equal parts.
  constexpr int64_t kMost = Kernel::kRowsAtOnce;
  const int64_t parts = (job.rows + kMost - 1) / kMost, part_rows = (job.rows + parts - 1) / parts;
  const Cuts<Kernel> cuts(job, part_rows);
  const int64_t outputs = job.outputs_per_group(), tiles = job.tiles_per_group();
  int64_t group = begin / tiles, place = begin % tiles;  // of the panel, in tiles
  while (begin < end) {
    const int64_t most = std::min(kPanelOutputs / kTileOutputs, end - begin) * kTileOutputs;
    const Tile tile{group, group * outputs + place * kTileOutputs,
                    std::min(most, outputs - place * kTileOutputs)};
    const typename Kernel::Panel panel(job, tile);
    for (int64_t row = 0; row < job.rows; row += part_rows)
      run_panel<Kernel>(job, cuts, tile, panel, row, std::min(part_rows, job.rows - row));
    const int64_t taken = (tile.count + kTileOutputs - 1) / kTileOutputs;
    begin += taken;
    place += taken;
    if (place == tiles) {
      place = 0;
      ++group;
    }
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
