#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/linear.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <cstring>

#include "core/check.h"
#include "core/cpu/decode-inl.h"
#include "core/cpu/panel-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// Weights in float32 registers times float32 rows.
template <class Decode>
struct FloatKernel {
  static constexpr int64_t kBlockBytes = kBlockGroups * Decode::kGroupBytes;
  static constexpr int64_t kRowBytes = kBlockColumns * sizeof(float);

  class Panel {
   public:
    Panel(const LinearJob& job, const Tile& tile) : weight_(*job.weight), first_(tile.first) {}

    int64_t row_bytes() const { return weight_.cols * Decode::kGroupBytes / kGroup; }
    const uint8_t* bytes(int64_t output) const {
      return static_cast<const uint8_t*>(weight_.data) + (first_ + output) * row_bytes();
    }
    const uint8_t* scales(int64_t output) const { return Decode::scale_row(weight_, first_ + output); }
    int64_t columns() const { return weight_.cols; }

   private:
    const Weight& weight_;
    int64_t first_;
  };

  struct Rows {
    Rows(const LinearJob& job, int64_t group, int64_t row, int64_t rows)
        : block_stride(job.x.floats.block_stride) {
      for (int64_t r = 0; r < rows; ++r)
        data[r] = job.x.floats.from_row(job.source_row(row + r)).data +
                  group * blocks_of(job.weight->cols) * block_stride;
    }
    const float* data[kRowsMost];
    int64_t block_stride;
  };

  // Adds a block, of which `groups` groups exist, to the sums of kRows rows, whose columns of it are at x[r] + column.
  template <int kRows>
  static HWY_INLINE void add_block(const uint8_t* bytes, const uint8_t* scales, int64_t block, int64_t groups,
                                   const float* const* x, int64_t column, Sixteen* sums) {
    const D d;
    constexpr int kVectors = Decode::kStepGroups * kGroup / kLanes;
    Sixteen part[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) part[r] = zero16();
#pragma GCC unroll 4
    for (int g = 0; g < kBlockGroups; g += Decode::kStepGroups) {
      if (g >= groups) break;  // it has no scale either
      const typename Decode::Raw raw =
          Decode::raw(bytes + g * Decode::kGroupBytes, Decode::group_scale(scales, block * kBlockGroups + g));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        if (g + v * kLanes / kGroup >= groups) break;
        const V w = Decode::vector(raw, v);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          V& lanes = part[r].part[v % kParts];
          lanes = hn::MulAdd(w, hn::LoadU(d, x[r] + column + g * kGroup + v * kLanes), lanes);
        }
      }
    }
    const V factor = hn::Set(d, Decode::factor(scales, block));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) {
        sums[r].part[p] = Decode::kScaled ? hn::MulAdd(part[r].part[p], factor, sums[r].part[p])
                                          : hn::Add(part[r].part[p], sums[r].part[p]);
      }
    }
  }

  // The last block where it is not whole, from a copy with zeros behind the columns.
  template <int kRows>
  static HWY_NOINLINE void add_rest(const Panel& panel, int64_t output, int64_t block, const float* const* x,
                                    int64_t column, Sixteen* sums) {
    HWY_ALIGN uint8_t bytes[kBlockBytes] = {};
    const int64_t columns = panel.columns() - block * kBlockColumns;
    std::memcpy(bytes, panel.bytes(output) + block * kBlockBytes,
                static_cast<size_t>(columns * Decode::kGroupBytes / kGroup));
    add_block<kRows>(bytes, panel.scales(output), block, (columns + kGroup - 1) / kGroup, x, column, sums);
  }

  template <int kRows>
  static FT_INNERMOST void add(const Panel& panel, int64_t outputs, const Rows& rows, const Chunk& chunk,
                               Sixteen* out) {
    const int64_t whole = panel.columns() / kBlockColumns, stride = rows.block_stride;
    const float* x[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) x[r] = rows.data[r];
    for (int64_t o = 0; o < outputs; ++o, out += kRowsMost) {
      const uint8_t* bytes = panel.bytes(o);
      const uint8_t* scales = panel.scales(o);
      const int64_t ahead = chunk.ahead(o);
      for (int p = 0; p < chunk.parts; ++p) {
        Sixteen sums[kRows];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sums[r] = chunk.first ? zero16() : out[p * kRows + r];
        int64_t block = chunk.at[p];
        for (const int64_t end = std::min(whole, chunk.at[p + 1]); block < end; ++block) {
          const uint8_t* data = bytes + block * kBlockBytes;
#pragma GCC unroll 8
          for (int line = 0; line < kBlockBytes; line += 64) hwy::Prefetch(data + ahead + line);
          add_block<kRows>(data, scales, block, kBlockGroups, x, block * stride, sums);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) out[p * kRows + r] = sums[r];
        if (HWY_UNLIKELY(block < chunk.at[p + 1]))
          add_rest<kRows>(panel, o, block, rows.data, block * stride, out + p * kRows);
      }
    }
  }
};

void linear_tiles_target(const LinearJob& job, int64_t begin, int64_t end) {
  switch (job.weight->format) {
    case WeightFormat::kF32:
      return run_panels<FloatKernel<DecodeF32>>(job, begin, end);
    case WeightFormat::kBF16:
      return run_panels<FloatKernel<DecodeBf16>>(job, begin, end);
    case WeightFormat::kFp8Block:
      return run_panels<FloatKernel<DecodeFp8>>(job, begin, end);
    case WeightFormat::kFp4Row:
      return run_panels<FloatKernel<DecodeFp4>>(job, begin, end);
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
