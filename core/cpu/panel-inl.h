// The order in which linears go through outputs, columns and rows: sixteen outputs, a chunk of columns that is as long
// as the first cache holds of all rows, and within it one output after the other, its weights decoded into registers
// for up to eight rows. Included once per instruction set.
#if defined(FT_CORE_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_PANEL_INL_H_
#undef FT_CORE_CPU_PANEL_INL_H_
#else
#define FT_CORE_CPU_PANEL_INL_H_
#endif

#include <array>
#include <utility>

#include "core/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

inline constexpr int64_t kPanelOutputs = 16;
// Rows whose sums stay in registers.
inline constexpr int kRowsMost = kLanes == 16 ? 8 : 4;
// What is fetched lies at least so many bytes behind what is read, in the order of reading: memory answers in time.
inline constexpr int64_t kAhead = 4096;

// A chunk: of each of neighbouring parts the blocks of columns [at[i], at[i+1]).
struct Chunk {
  int parts;
  bool first;  // nothing of these parts was summed before
  int64_t at[kShards + 1];
  // Where weights are that are read soon: `near` bytes behind those of an output, `wrapped` for the last `wrapping`.
  int64_t near, wrapped, wrapping;

  int64_t ahead(int64_t output) const { return output < kPanelOutputs - wrapping ? near : wrapped; }
};

// A kernel has
//   kBlockBytes    of the weights of an output in a block
//   kRowBytes      of a prepared row in a block
//   Panel          the weights of a panel, from a job and the panel
//   Rows           prepared rows, from a job, a group, the first row and their number
//   add<kRows>(panel, outputs, rows, chunk, sums)    adds to sums[o * kRowsMost + i * kRows + r] what part i of the
//                  chunk gives for output o and row r
template <class Kernel, int... kRows>
constexpr auto adders(std::integer_sequence<int, kRows...>) {
  using Add =
      void (*)(const typename Kernel::Panel&, int64_t, const typename Kernel::Rows&, const Chunk&, Sixteen*);
  return std::array<Add, sizeof...(kRows)>{Kernel::template add<kRows + 1>...};
}

template <class Kernel>
void run_panel(const LinearJob& job, const Tile& tile, const typename Kernel::Panel& panel, int64_t row,
               int64_t rows) {
  static constexpr auto kAdd = adders<Kernel>(std::make_integer_sequence<int, kRowsMost>());
  // Bytes of all rows in a chunk: what stays in the first cache beside the weights that pass through it.
  constexpr int64_t kChunkBytes = 16384;
  const typename Kernel::Rows x(job, tile.group, row, rows);
  // Of as many parts of the columns at once as there is room for.
  const int parts_at_once = static_cast<int>(kRowsMost / rows);
  const int64_t row_bytes = panel.row_bytes(), all = job.edge(job.parts());
  const int64_t stored = (tile.count + kTileOutputs - 1) / kTileOutputs * kTileOutputs;
  Sixteen sums[kPanelOutputs][kRowsMost];
  for (int part = 0; part < job.parts(); part += parts_at_once) {
    const int last = std::min(job.parts(), part + parts_at_once);
    const int64_t end = job.edge(last), count = end - job.edge(part);
    const int64_t chunks = (count * rows * Kernel::kRowBytes + kChunkBytes - 1) / kChunkBytes;
    const int64_t blocks = std::max<int64_t>(1, (count + chunks - 1) / std::max<int64_t>(chunks, 1));
    const int64_t outputs_ahead =
        std::min<int64_t>(kPanelOutputs, (kAhead - 1) / (blocks * Kernel::kBlockBytes) + 1);
    // Behind the last output, up to a whole tile.
    for (int64_t o = tile.count; o < stored; ++o) std::fill_n(sums[o], kRowsMost, zero16());
    int64_t begin = job.edge(part);
    do {
      Chunk chunk;
      chunk.parts = last - part;
      chunk.first = begin == job.edge(part);
      for (int p = part; p <= last; ++p)
        chunk.at[p - part] = std::clamp(job.edge(p), begin, std::min(end, begin + blocks));
      // Behind the last output comes the first of the next chunk, and behind the last chunk the next panel.
      const int64_t next = std::min(end, begin + blocks);
      chunk.near = outputs_ahead * row_bytes;
      chunk.wrapping = outputs_ahead;
      chunk.wrapped = next < all
                          ? (outputs_ahead - kPanelOutputs) * row_bytes + (next - begin) * Kernel::kBlockBytes
                          : outputs_ahead * row_bytes - begin * Kernel::kBlockBytes;
      kAdd[static_cast<size_t>(rows - 1)](panel, tile.count, x, chunk, sums[0]);
      begin += blocks;
    } while (begin < end);
    for (int p = 0; p < last - part; ++p) {
      for (int64_t r = 0; r < rows; ++r)
        store_panel(job, tile, row + r, part + p, [&](int64_t o) HWY_ATTR { return sums[o][p * rows + r]; });
    }
  }
}

template <class Kernel>
void run_panels(const LinearJob& job, int64_t begin, int64_t end) {
  // The rows in equal parts.
  const int64_t parts = (job.rows + kRowsMost - 1) / kRowsMost, part_rows = (job.rows + parts - 1) / parts;
  while (begin < end) {
    const Tile tile(job, begin, std::min(kPanelOutputs / kTileOutputs, end - begin));
    const typename Kernel::Panel panel(job, tile);
    for (int64_t row = 0; row < job.rows; row += part_rows)
      run_panel<Kernel>(job, tile, panel, row, std::min(part_rows, job.rows - row));
    begin += (tile.count + kTileOutputs - 1) / kTileOutputs;
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
