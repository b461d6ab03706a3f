#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/linear.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <cstring>

#include "core/check.h"
#include "core/cpu/decode-inl.h"
#include "core/cpu/numbers-inl.h"
#include "core/cpu/panel-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC target("avx512vnni,avx512bf16")  // see panel-inl.h
#endif
namespace ft::cpu::HWY_NAMESPACE {

// How decoded weights meet prepared rows: the rows, a vector of weights, and what adds its products to sums.
template <class Decode>
struct AsFloats {
  using DX = D;
  using Weights = V;
  static const FloatRows& rows(const Prepared& x) { return x.floats; }
  static HWY_INLINE Weights weights(const typename Decode::Raw& raw, int v) { return Decode::vector(raw, v); }
  static HWY_INLINE V add(Weights weights, V x, V sum) { return hn::MulAdd(weights, x, sum); }
};

#if HWY_TARGET == HWY_AVX3_DL
// The same fused multiply-adds in the same order, two columns to a lane.
template <class Decode>
struct AsBf16 {
  using DX = hn::ScalableTag<uint16_t>;
  using Weights = Bf16::Vector;
  static const Bf16Rows& rows(const Prepared& x) { return x.bf16; }
  static HWY_INLINE Weights weights(const typename Decode::Raw& raw, int v) { return raw.pairs[v]; }
  static HWY_INLINE V add(Weights weights, hn::Vec<DX> x, V sum) {
    return Bf16::add(weights, hn::BitCast(DU(), x), sum);
  }
};
#endif

// Decoded weights in registers times prepared rows.
template <class Decode, template <class> class Meeting = AsFloats>
struct FloatKernel {
  using Row = Meeting<Decode>;
  using DX = typename Row::DX;
  using Element = hn::TFromD<DX>;  // of a row
  static constexpr int64_t kBlockBytes = kBlockGroups * Decode::kGroupBytes;
  static constexpr int64_t kRowBytes = kBlockColumns * static_cast<int64_t>(sizeof(Element));
  static constexpr int together(int rows) {
    if (kLanes < 16) return rows <= 2 ? 2 : 1;
    if (Decode::kGroupBytes > 2 * kGroup) return 1;  // as many loads of weights as of a row
    return rows <= 2 ? 4 : 2;
  }
  // Two outputs that are decoded by tables leave registers for the sums of six rows.
  static constexpr int kRowsAtOnce = kLanes == 16 && Decode::kScaled ? 6 : kRowsMost;

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
        : block_stride(Row::rows(job.x).block_stride) {
      for (int64_t r = 0; r < rows; ++r)
        data[r] = Row::rows(job.x).from_row(job.source_row(row + r)).data +
                  group * blocks_of(job.weight->cols) * block_stride;
    }
    const Element* data[kRowsMost];
    int64_t block_stride;
  };

  template <int kOutputs>
  struct Outputs {
    HWY_INLINE Outputs(const Panel& panel, int64_t first)
        : whole(panel.columns() / kBlockColumns),
          ends_in_half(panel.columns() % kBlockColumns == kBlockColumns / 2) {
      for (int o = 0; o < kOutputs; ++o) {
        bytes[o] = panel.bytes(first + o);
        scales[o] = panel.scales(first + o);
      }
    }
    const uint8_t* bytes[kOutputs];
    const uint8_t* scales[kOutputs];
    int64_t whole;
    bool ends_in_half;  // as where the rank of the query is 64
  };

  // Adds a block, of which `groups` groups exist.
  template <int kRows, int kOutputs>
  static HWY_INLINE void add_groups(const uint8_t* const (&bytes)[kOutputs],
                                    const uint8_t* const (&scales)[kOutputs], const Rows& rows, int64_t block,
                                    int64_t groups, Sixteen (&sums)[kOutputs][kRows]) {
    const D d;
    constexpr int kVectorColumns = static_cast<int>(hn::MaxLanes(DX()));
    constexpr int kVectors = Decode::kStepGroups * kGroup / kVectorColumns;
    Sixteen part[kOutputs][kRows];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) part[o][r] = zero16();
    }
#pragma GCC unroll 4
    for (int g = 0; g < kBlockGroups; g += Decode::kStepGroups) {
      if (g >= groups) break;  // it has no scale either
      typename Decode::Raw raw[kOutputs];
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o)
        raw[o] = Decode::raw(bytes[o] + g * Decode::kGroupBytes,
                             Decode::group_scale(scales[o], block * kBlockGroups + g));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        if (g + v * kVectorColumns / kGroup >= groups) break;
        typename Row::Weights w[kOutputs];
#pragma GCC unroll 4
        for (int o = 0; o < kOutputs; ++o) w[o] = Row::weights(raw[o], v);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const hn::Vec<DX> x = load_for<kOutputs>(
              DX(), rows.data[r] + block * rows.block_stride + g * kGroup + v * kVectorColumns);
#pragma GCC unroll 4
          for (int o = 0; o < kOutputs; ++o) {
            V& lanes = part[o][r].part[v % kParts];
            lanes = Row::add(w[o], x, lanes);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const V factor = hn::Set(d, Decode::factor(scales[o], block));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int p = 0; p < kParts; ++p) {
          V& sum = sums[o][r].part[p];
          sum = Decode::kScaled ? hn::MulAdd(part[o][r].part[p], factor, sum)
                                : hn::Add(part[o][r].part[p], sum);
        }
      }
    }
  }

  template <int kRows, int kOutputs>
  static HWY_INLINE void add_block(const Outputs<kOutputs>& outputs, const Rows& rows, int64_t block,
                                   Sixteen (&sums)[kOutputs][kRows]) {
    add_part<kBlockGroups>(outputs, rows, block, sums);
  }

  template <int kRows, int kOutputs>
  static HWY_INLINE bool add_last_block(const Outputs<kOutputs>& outputs, const Rows& rows, int64_t block,
                                        Sixteen (&sums)[kOutputs][kRows]) {
    if (!outputs.ends_in_half) return false;
    add_part<kBlockGroups / 2>(outputs, rows, block, sums);
    return true;
  }

  // Adds the first groups of a block, whose number the compiler knows.
  template <int kGroups, int kRows, int kOutputs>
  static HWY_INLINE void add_part(const Outputs<kOutputs>& outputs, const Rows& rows, int64_t block,
                                  Sixteen (&sums)[kOutputs][kRows]) {
    const uint8_t* bytes[kOutputs];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) bytes[o] = outputs.bytes[o] + block * kBlockBytes;
    add_groups(bytes, outputs.scales, rows, block, kGroups, sums);
  }

  // The last block where neither all nor half of its columns exist, from copies with zeros behind them.
  template <int kRows, int kOutputs>
  static HWY_NOINLINE void add_odd_block(const Panel& panel, const Outputs<kOutputs>& outputs,
                                         const Rows& rows, int64_t block, Sixteen* out) {
    const int64_t columns = panel.columns() - block * kBlockColumns;
    const int64_t groups = (columns + kGroup - 1) / kGroup;
    HWY_ALIGN uint8_t copies[kOutputs][kBlockBytes];
    const uint8_t* bytes[kOutputs];
    Sixteen sums[kOutputs][kRows];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      bytes[o] = outputs.bytes[o] + block * kBlockBytes;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[o][r] = out[o * kRowsMost + r];
      const auto size = static_cast<size_t>(columns * Decode::kGroupBytes / kGroup);
      std::memcpy(copies[o], bytes[o], size);
      std::memset(copies[o] + size, 0, kBlockBytes - size);
      bytes[o] = copies[o];
    }
    add_groups(bytes, outputs.scales, rows, block, groups, sums);
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) out[o * kRowsMost + r] = sums[o][r];
    }
  }
};

void linear_tiles_target(const LinearJob& job, int64_t begin, int64_t end) {
#if HWY_TARGET == HWY_AVX3_DL
  if (job.x.bf16.data != nullptr) {
    if (job.weight->format == WeightFormat::kBF16)
      return run_panels<FloatKernel<DecodeBf16, AsBf16>>(job, begin, end);
    FT_CHECK(job.weight->format == WeightFormat::kFp8Block, static_cast<int>(job.weight->format));
    return run_panels<FloatKernel<DecodeFp8, AsBf16>>(job, begin, end);
  }
#endif
  FT_CHECK(job.x.bf16.data == nullptr, static_cast<int>(job.weight->format));
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
  if (job.x.codes.data != nullptr) {
    FT_CHECK(job.weight->format == WeightFormat::kFp4Row, static_cast<int>(job.weight->format));
    return linear_codes_tiles(job, begin, end);
  }
  HWY_DYNAMIC_DISPATCH(linear_tiles_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
