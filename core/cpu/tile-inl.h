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

// Consecutive outputs of a group of the matrix: they read the same columns of x.
struct Tile {
  int64_t group;
  int64_t first;
  int64_t count;
};

// Where a partial sum of output 0 would be.
HWY_INLINE float* partial_sums(const LinearJob& job, int64_t row, int part) {
  const int64_t y_row = job.y_rows != nullptr ? job.y_rows[row] : row;
  return job.y + ((y_row * job.parts() + part) * job.y_stride - job.partial->first_output);
}

// Outputs of a tile for a row and a part of the columns, from the sums of the first tile.count of four.
HWY_INLINE void store_tile(const LinearJob& job, const Tile& tile, int64_t row, int part,
                           const Sixteen (&sums)[kTileOutputs]) {
  const D4 d4;
  const V4 dots = sum_lanes4(sums[0], sums[1], sums[2], sums[3]);
  if (job.partial != nullptr) {
    float* y = partial_sums(job, row, part) + tile.first;  // a panel has room for whole tiles
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

#if HWY_TARGET <= HWY_AVX3
// What sum_lanes gives for each of sixteen sums, in three instructions each: pairs are folded together.
template <class Get>
HWY_INLINE V sum_lanes16(const Get& get) {
  V four[4];  // of sums i, i+4, i+8 and i+12, four lanes of each
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = get(i).part[0].raw, b = get(i + 4).part[0].raw;
    const __m512 c = get(i + 8).part[0].raw, d = get(i + 12).part[0].raw;
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    four[i] = V{_mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd))};
  }
  const auto fold = [](V a, V b) HWY_ATTR {
    return _mm512_add_ps(_mm512_unpacklo_ps(a.raw, b.raw), _mm512_unpackhi_ps(a.raw, b.raw));
  };
  const __m512 low = fold(four[0], four[1]), high = fold(four[2], four[3]);
  return V{_mm512_add_ps(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee))};
}
#endif

// The same for outputs [o, o + 4) of a panel, as far as it goes: get(o) is the sum of its output o.
template <class Get>
HWY_INLINE void store_four(const LinearJob& job, const Tile& panel, int64_t row, int part, int64_t o,
                           const Get& get) {
  store_tile(job, {panel.group, panel.first + o, std::min(kTileOutputs, panel.count - o)}, row, part,
             {get(o), get(o + 1), get(o + 2), get(o + 3)});
}

// The same for outputs [first, first + 16), which are all there.
template <class Get>
HWY_INLINE void store_sixteen(const LinearJob& job, const Tile& panel, int64_t row, int part, int64_t first,
                              const Get& get) {
#if HWY_TARGET <= HWY_AVX3
  const D d;
  const V dots = sum_lanes16([&](int64_t o) HWY_ATTR { return get(first + o); });
  if (job.partial == nullptr)
    return hn::StoreU(round_if(d, dots, job.round), d, job.y + row * job.y_stride + panel.first + first);
  float* y = partial_sums(job, row, part) + panel.first + first;
  hn::StoreU(hn::Add(hn::LoadU(d, y), dots), d, y);
#else
#pragma GCC unroll 4
  for (int64_t o = first; o < first + 16; o += kTileOutputs) store_four(job, panel, row, part, o, get);
#endif
}

// The same for a panel of up to 32 outputs; get(o) is there behind the last up to a whole tile.
template <class Get>
HWY_INLINE void store_panel(const LinearJob& job, const Tile& panel, int64_t row, int part, const Get& get) {
  int64_t o = 0;
  // With places that the compiler knows.
  if (panel.count >= 16) store_sixteen(job, panel, row, part, 0, get), o = 16;
  if (panel.count >= 32) store_sixteen(job, panel, row, part, 16, get), o = 32;
  for (; o < panel.count; o += kTileOutputs) store_four(job, panel, row, part, o, get);
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
