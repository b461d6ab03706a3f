#include <algorithm>
#include <array>
#include <bit>

#include "core/cpu/indexer.h"

namespace ft::cpu {
namespace {

// Unsigned integers in the order of the floats; -0 becomes 0.
uint32_t order_key(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace

void select_largest(const float* scores, int32_t count, int32_t k, int32_t* indices) {
  // Fix the key of the k-th largest digit by digit from the top: `prefix` holds the digits known so far,
  // `wanted` how many entries that match it are still to be taken.
  uint32_t prefix = 0;
  int32_t wanted = k;
  constexpr int kBits[] = {11, 11, 10};
  int shift = 32;
  std::array<int32_t, 2048> histogram;
  for (const int bits : kBits) {
    const uint32_t known = shift == 32 ? 0u : ~0u << shift;
    shift -= bits;
    const uint32_t digits = 1u << bits;
    std::fill_n(histogram.begin(), digits, 0);
    for (int32_t j = 0; j < count; ++j) {
      const uint32_t key = order_key(scores[j]);
      if (((key ^ prefix) & known) == 0) ++histogram[key >> shift & (digits - 1)];
    }
    uint32_t digit = digits - 1;
    while (histogram[digit] < wanted) wanted -= histogram[digit--];
    prefix |= digit << shift;
  }
  // Everything above the threshold is in; of those equal to it, the first `wanted`.
  for (int32_t j = 0; j < count; ++j) {
    const uint32_t key = order_key(scores[j]);
    if (key > prefix || (key == prefix && wanted-- > 0)) *indices++ = j;
  }
}

}  // namespace ft::cpu
