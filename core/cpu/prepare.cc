#include "core/cpu/linear.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/prepare.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <cstring>

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

void prepare_rows_target(const PrepareJob& job, int64_t begin_row, int64_t end_row) {
  const int64_t padded = padded_columns(job.k);
  for (int64_t r = begin_row; r < end_row; ++r) {
    const float* x = job.x + r * job.x_stride;
    float* out = job.out + r * job.groups * padded;
    for (int group = 0; group < job.groups; ++group, x += job.k, out += padded) {
      const int64_t whole = job.k / 32;
      if (job.quantize) {
        quantize_row<E4m3>(x, job.k, 128, out);
        if (job.paired) pair_groups(out, whole, out);
      } else if (job.paired) {
        pair_groups(x, whole, out);
      } else {
        std::memcpy(out, x, static_cast<size_t>(job.k) * sizeof(float));
      }
      if (whole * 32 == job.k) continue;
      float tail[32] = {};
      const float* rest = (job.quantize ? out : x) + whole * 32;
      std::memcpy(tail, rest, static_cast<size_t>(job.k - whole * 32) * sizeof(float));
      for (int i = 0; i < 32; ++i) out[whole * 32 + (job.paired ? i / 2 + i % 2 * 16 : i)] = tail[i];
    }
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
