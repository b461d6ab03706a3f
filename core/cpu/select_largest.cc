#include <algorithm>
#include <limits>

#include "core/cpu/indexer.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/select_largest.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

using DI = hn::RebindToSigned<D>;
using VI = hn::Vec<DI>;

// Integers in the order of the floats; -0 becomes 0.
HWY_INLINE VI order_keys(V scores) {
  const DI di;
  const VI bits = hn::BitCast(di, hn::Add(scores, hn::Zero(D())));
  return hn::Xor(bits, hn::BitCast(di, hn::ShiftRight<1>(hn::BitCast(DU(), hn::BroadcastSignBit(bits)))));
}

// Keys of scores [j, j + kLanes), the lowest behind the last.
HWY_INLINE VI keys_at(const float* scores, int32_t count, int32_t j) {
  const D d;
  if (j + kLanes <= count) return order_keys(hn::LoadU(d, scores + j));
  const auto mask = hn::FirstN(d, static_cast<size_t>(count - j));
  const VI keys = order_keys(hn::MaskedLoad(mask, d, scores + j));
  return hn::IfThenElse(hn::RebindMask(DI(), mask), keys, hn::Set(DI(), std::numeric_limits<int32_t>::min()));
}

// How many of the scores have a key of `least` or more; `least` is above the lowest.
HWY_INLINE int32_t count_from(const float* scores, int32_t count, int32_t least) {
  const DI di;
  const VI below = hn::Set(di, least - 1);
  VI found = hn::Zero(di);  // negated
  for (int32_t j = 0; j < count; j += kLanes)
    found = hn::Add(found, hn::VecFromMask(di, hn::Gt(keys_at(scores, count, j), below)));
  return -hn::GetLane(hn::SumOfLanes(di, found));
}

// The first `count` true lanes.
HWY_INLINE hn::Mask<DI> first_true(hn::Mask<DI> mask, int32_t count) {
  const DI di;
  HWY_ALIGN int32_t lanes[kLanes];
  hn::Store(hn::VecFromMask(di, mask), di, lanes);
  for (int32_t& lane : lanes) {
    if (lane != 0 && count-- <= 0) lane = 0;
  }
  return hn::MaskFromVec(hn::Load(di, lanes));
}

void select_largest_target(const float* scores, int32_t count, int32_t k, int32_t* indices) {
  const DI di;
  // The key of the k-th largest, bit by bit from the top: the largest one that k keys reach. The top bit of an integer
  // with a sign counts down. As soon as exactly k keys reach it the other bits do not matter.
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
  int32_t threshold = kLowest, reached = count;
  for (int bit = 31; bit >= 0 && reached != k; --bit) {
    const auto candidate = static_cast<int32_t>(static_cast<uint32_t>(threshold) ^ (1u << bit));
    const int32_t found = count_from(scores, count, candidate);
    if (found < k) continue;
    threshold = candidate;
    reached = found;
  }
  // Everything above the threshold is in; of those equal to it the first, as many as there is room for.
  const VI limit = hn::Set(di, threshold);
  int32_t room = reached == k ? k : k - count_from(scores, count, threshold + 1);
  for (int32_t j = 0; j < count; j += kLanes) {
    const VI keys = keys_at(scores, count, j);
    const auto there = hn::FirstN(di, static_cast<size_t>(std::min<int32_t>(kLanes, count - j)));
    auto taken = hn::Gt(keys, limit);
    const auto equal = hn::And(hn::Eq(keys, limit), there);
    if (!hn::AllFalse(di, equal)) {
      const auto of_equal = static_cast<int32_t>(hn::CountTrue(di, equal));
      taken = hn::Or(taken, of_equal <= room ? equal : first_true(equal, room));
      room -= std::min(room, of_equal);
    }
    const size_t found = hn::CountTrue(di, taken);
    hn::BlendedStore(hn::Compress(hn::Iota(di, j), taken), hn::FirstN(di, found), di, indices);
    indices += found;
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(select_largest_target);

void select_largest(const float* scores, int32_t count, int32_t k, int32_t* indices) {
  HWY_DYNAMIC_DISPATCH(select_largest_target)(scores, count, k, indices);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
