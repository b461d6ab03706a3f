#include "core/cpu/prepare.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/prepare.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// Even columns of each group of 32, then its odd ones; `out` may be `x`.
HWY_INLINE void pair_groups(const float* x, int64_t groups, float* out) {
  const D d;
  for (int64_t g = 0; g < groups; ++g, x += 32, out += 32) {
    constexpr int kPairs = 16 / kLanes;  // vectors of each half
    V even[kPairs], odd[kPairs];
    for (int i = 0; i < kPairs; ++i) {
      const V a = hn::LoadU(d, x + 2 * i * kLanes), b = hn::LoadU(d, x + (2 * i + 1) * kLanes);
      even[i] = hn::ConcatEven(d, b, a);
      odd[i] = hn::ConcatOdd(d, b, a);
    }
    for (int i = 0; i < kPairs; ++i) {
      hn::StoreU(even[i], d, out + i * kLanes);
      hn::StoreU(odd[i], d, out + 16 + i * kLanes);
    }
  }
}

// The block of a row at `x`, of which `columns` exist: `x` itself, or a copy with zeros behind them.
HWY_INLINE const float* whole_block(const float* x, int64_t columns, float* copy) {
  if (columns >= kBlockColumns) return x;
  std::fill(std::copy_n(x, columns, copy), copy + kBlockColumns, 0.0f);
  return copy;
}

void prepare_floats(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  const int64_t blocks = blocks_of(job.k);
  HWY_ALIGN float copy[kBlockColumns];
  for (int64_t r = begin_row; r < end_row; ++r) {
    for (int64_t b = 0; b < job.groups * blocks; ++b) {
      const int64_t column = b % blocks * kBlockColumns;
      const float* x = whole_block(job.x.row(r) + b / blocks * job.k + column, job.k - column, copy);
      float* out = job.floats + (b * job.x.rows + r) * kBlockColumns;
      if (job.quantize) {
        quantize_group<E4m3>(x, kBlockColumns, out);
        x = out;
      }
      if (job.paired) {
        pair_groups(x, kBlockColumns / 32, out);
      } else if (x != out) {
        std::copy_n(x, kBlockColumns, out);
      }
    }
  }
}

// Eight values of q8() over their scale, times 64, to their two parts.
HWY_INLINE void store_codes(hn::Vec<hn::FixedTag<float, 8>> value, int16_t* coarse, int16_t* fine,
                            hn::Vec<hn::FixedTag<int32_t, 8>>& any_fine) {
  const hn::FixedTag<float, 8> d8;
  const hn::FixedTag<int32_t, 8> di;
  const hn::FixedTag<int16_t, 8> d16;
  const auto code = hn::ConvertTo(di, hn::Mul(value, hn::Set(d8, 512.0f)));
  const auto low = hn::And(code, hn::Set(di, 7));
  any_fine = hn::Or(any_fine, low);
  hn::StoreU(hn::DemoteTo(d16, hn::ShiftRight<3>(code)), d16, coarse);
  hn::StoreU(hn::DemoteTo(d16, low), d16, fine);
}

void prepare_codes(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  const D d;
  const hn::FixedTag<float, 8> d8;
  const hn::FixedTag<int32_t, 8> di;
  HWY_ALIGN float copy[kBlockColumns];
  HWY_ALIGN float rounded[kBlockColumns];
  for (int64_t r = begin_row; r < end_row; ++r) {
    for (int64_t b = 0; b < blocks_of(job.x.cols); ++b) {
      const int64_t column = b * kBlockColumns;
      const float* x = whole_block(job.x.row(r) + column, job.x.cols - column, copy);
      const int exponent = E4m3::scale_exponent(max_magnitude(x, kBlockColumns));
      const V inverse = hn::Set(d, exp2_int(-exponent));
      for (int64_t c = 0; c < kBlockColumns; c += kLanes) {
        hn::Store(round_to<E4m3>(hn::Mul(hn::LoadU(d, x + c), inverse)), d, rounded + c);
      }
      CodeBlock& block = job.codes[b * job.x.rows + r];
      auto any_fine = hn::Zero(di);
      for (int64_t c = 0; c < kBlockColumns; c += 16) {
        const auto first = hn::Load(d8, rounded + c), second = hn::Load(d8, rounded + c + 8);
        store_codes(hn::ConcatEven(d8, second, first), block.coarse + c, block.fine + c, any_fine);
        store_codes(hn::ConcatOdd(d8, second, first), block.coarse + c + 8, block.fine + c + 8, any_fine);
      }
      block.scale = exp2_int(exponent);
      block.has_fine = !hn::AllTrue(di, hn::Eq(any_fine, hn::Zero(di)));
    }
  }
}

void prepare_rows_target(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  if (job.codes != nullptr) {
    prepare_codes(job, begin_row, end_row);
  } else if (job.floats != nullptr) {
    prepare_floats(job, begin_row, end_row);
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(prepare_rows_target);

void prepare_rows(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  HWY_DYNAMIC_DISPATCH(prepare_rows_target)(job, begin_row, end_row);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
