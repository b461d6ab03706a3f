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

// Outputs of a tile for a row, from the sums of the first tile.count of four.
HWY_INLINE void store_tile(const LinearJob& job, const Tile& tile, int64_t row,
                           const Sixteen (&sums)[kTileOutputs]) {
  const D4 d4;
  const V4 value = round_if(d4, sum_lanes4(sums[0], sums[1], sums[2], sums[3]), job.round);
  float* y = job.y + row * job.y_stride + tile.first;
  if (tile.count == kTileOutputs) {
    hn::StoreU(value, d4, y);
  } else {
    HWY_ALIGN float lanes[4];
    hn::Store(value, d4, lanes);
    for (int64_t i = 0; i < tile.count; ++i) y[i] = lanes[i];
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
