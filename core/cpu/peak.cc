#include "core/cpu/peak.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/peak.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

int64_t run_multiply_adds_target(int64_t count) {
  constexpr int kChains = 12;  // latency times throughput is 8 to 10, and there are 16 registers on AVX2
  constexpr int kRounds = 64;
  const D d;
  V sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  // Values that stay finite for any number of rounds, and that the compiler does not know.
  volatile float half = 0.5f;
  const V factor = hn::Set(d, half), term = hn::Set(d, half);
  int64_t done = 0;
  while (done < count) {
    for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) sums[i] = hn::MulAdd(sums[i], factor, term);
    }
    done += kRounds * kChains * kLanes;
  }
  V all = sums[0];
  for (int i = 1; i < kChains; ++i) all = hn::Add(all, sums[i]);
  volatile float used = hn::GetLane(all);
  (void)used;
  return done;
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(run_multiply_adds_target);

int64_t run_multiply_adds(int64_t count) {
  return HWY_DYNAMIC_DISPATCH(run_multiply_adds_target)(count);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
