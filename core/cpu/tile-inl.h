// What the kernels of linears share: a tile of outputs, and how its sums become values.
// Included once per instruction set.
#if defined(FT_CORE_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FT_CORE_CPU_TILE_INL_H_
#undef FT_CORE_CPU_TILE_INL_H_
#else
#define FT_CORE_CPU_TILE_INL_H_
#endif

#include "core/cpu/lanes-inl.h"
#include "core/cpu/linear.h"

// ThreadSanitizer would watch every vector that the innermost loops read, at many times the cost of the
// loops. What they read are weights, which never change, and the rows of x that other ops read and write
// under watch; what they write is watched where it becomes an output.
#undef FT_INNERMOST
#if defined(__SANITIZE_THREAD__)
#define FT_INNERMOST HWY_NOINLINE __attribute__((no_sanitize("thread")))
#else
#define FT_INNERMOST HWY_INLINE
#endif

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// Consecutive outputs that read the same columns of x: those of `tiles` tiles from number `t` on, as far as
// its group of the matrix goes.
struct Tile {
  Tile(const LinearJob& job, int64_t t, int64_t tiles = 1) : group(t / job.tiles_per_group()) {
    const int64_t first_in_group = t % job.tiles_per_group() * kTileOutputs;
    first = group * job.outputs_per_group() + first_in_group;
    count = std::min(tiles * kTileOutputs, job.outputs_per_group() - first_in_group);
  }

  int64_t group;
  int64_t first;
  int64_t count;
};

// Outputs of a tile for a row and a part of the columns, from the sums of the first tile.count of four.
HWY_INLINE void store_tile(const LinearJob& job, const Tile& tile, int64_t row, int part,
                           const Sixteen (&sums)[kTileOutputs]) {
  const D4 d4;
  const V4 dots = sum_lanes4(sums[0], sums[1], sums[2], sums[3]);
  if (job.partial != nullptr) {
    // A panel has room for whole tiles.
    const int64_t y_row = job.y_rows != nullptr ? job.y_rows[row] : row;
    float* y = job.y + (y_row * job.parts() + part) * job.y_stride + tile.first - job.partial->first_output;
    hn::StoreU(hn::Add(hn::LoadU(d4, y), dots), d4, y);
    return;
  }
  const V4 value = round_if(d4, dots, job.round);
  float* y = job.y + row * job.y_stride + tile.first;
  if (tile.count == kTileOutputs) {
    hn::StoreU(value, d4, y);
  } else {
    HWY_ALIGN float lanes[4];
    hn::Store(value, d4, lanes);
    for (int64_t i = 0; i < tile.count; ++i) y[i] = lanes[i];
  }
}

// Calls add(output, part, begin, end) so that all blocks of the parts [first, last) are covered once for each of
// `outputs` outputs: `chunk` blocks of all outputs after the other, and part by part in order.
template <class Add>
HWY_INLINE void for_pieces(const LinearJob& job, int first, int last, int64_t chunk, int64_t outputs,
                           const Add& add) {
  const int64_t end = job.edge(last);
  for (int64_t begin = job.edge(first); begin < end; begin += chunk) {
    const int64_t chunk_end = std::min(end, begin + chunk);
    for (int64_t o = 0; o < outputs; ++o) {
      for (int part = first; part < last; ++part) {
        const int64_t from = std::max(begin, job.edge(part)), to = std::min(chunk_end, job.edge(part + 1));
        if (from < to) add(o, part, from, to);
      }
    }
  }
}

// `count` blocks in `chunks` equal chunks.
HWY_INLINE int64_t equal_chunk(int64_t count, int64_t chunks) {
  return std::max<int64_t>(1, (count + chunks - 1) / std::max<int64_t>(chunks, 1));
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
