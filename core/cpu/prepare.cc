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

// Odd columns of each group of 32, then its even ones; `out` may be `x`.
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
      hn::StoreU(odd[i], d, out + i * kLanes);
      hn::StoreU(even[i], d, out + 16 + i * kLanes);
    }
  }
}

// The block of a row at `x`, of which `columns` exist: `x` itself, or a copy with zeros behind them.
HWY_INLINE const float* whole_block(const float* x, int64_t columns, float* copy) {
  if (columns >= kBlockColumns) return x;
  std::fill(std::copy_n(x, columns, copy), copy + kBlockColumns, 0.0f);
  return copy;
}

// Calls use(x, place) for each block of the rows, a whole one at x, `place` blocks behind the first.
template <class Use>
HWY_INLINE void for_blocks(const PrepareJob& job, int64_t begin_row, int64_t end_row, const Use& use) {
  const int64_t blocks = blocks_of(job.k), stored = stored_rows(job.x.rows);
  HWY_ALIGN float copy[kBlockColumns];
  for (int64_t r = begin_row; r < end_row; ++r) {
    for (int64_t b = 0; b < job.groups * blocks; ++b) {
      const int64_t column = b % blocks * kBlockColumns;
      use(whole_block(job.x.row(r) + b / blocks * job.k + column, job.k - column, copy), b * stored + r);
    }
  }
}

void prepare_floats(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  for_blocks(job, begin_row, end_row, [&](const float* x, int64_t place) HWY_ATTR {
    float* out = job.floats + place * kBlockColumns;
    if (job.quantize) {
      quantize_group<E4m3>(x, kBlockColumns, out);
      x = out;
    }
    if (job.paired) {
      pair_groups(x, kBlockColumns / 32, out);
    } else if (x != out) {
      std::copy_n(x, kBlockColumns, out);
    }
  });
}

void prepare_bf16(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  HWY_ALIGN float rounded[kBlockColumns];
  for_blocks(job, begin_row, end_row, [&](const float* x, int64_t place) HWY_ATTR {
    if (job.quantize) {
      quantize_group<E4m3>(x, kBlockColumns, rounded);
      x = rounded;
    }
    store_bf16(x, kBlockColumns, job.bf16 + place * kBlockColumns);
  });
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
      CodeBlock& block = job.codes[b * stored_rows(job.x.rows) + r];
      auto any_fine = hn::Zero(di);
      for (int64_t c = 0; c < kBlockColumns; c += 32) {
        const auto v0 = hn::Load(d8, rounded + c), v1 = hn::Load(d8, rounded + c + 8);
        const auto v2 = hn::Load(d8, rounded + c + 16), v3 = hn::Load(d8, rounded + c + 24);
        const auto even01 = hn::ConcatEven(d8, v1, v0), even23 = hn::ConcatEven(d8, v3, v2);
        const auto odd01 = hn::ConcatOdd(d8, v1, v0), odd23 = hn::ConcatOdd(d8, v3, v2);
        const auto store = [&](int set, hn::Vec<hn::FixedTag<float, 8>> values) HWY_ATTR {
          const int64_t place = set * 32 + c / 4;
          store_codes(values, block.coarse + place, block.fine + place, any_fine);
        };
        store(0, hn::ConcatEven(d8, even23, even01));
        store(1, hn::ConcatEven(d8, odd23, odd01));
        store(2, hn::ConcatOdd(d8, even23, even01));
        store(3, hn::ConcatOdd(d8, odd23, odd01));
      }
      const int unit = exponent - 7;
      block.lowered = static_cast<uint32_t>(std::max(-unit, 0)) << 23;
      block.fine_factor = unit > 0 ? exp2_int(exponent) * 0x1p-10f : 0.125f;  // infinite for infinite rows
      block.is_plain = unit <= 0 && hn::AllTrue(di, hn::Eq(any_fine, hn::Zero(di)));
    }
  }
}

void prepare_rows_target(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  if (job.codes != nullptr) {
    prepare_codes(job, begin_row, end_row);
  } else if (job.bf16 != nullptr) {
    prepare_bf16(job, begin_row, end_row);
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
