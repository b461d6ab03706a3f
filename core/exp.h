// The exponential of four lanes at once, without a library's:
// it is inlined, and the same bits on every machine.
#pragma once

#include <bit>

#include "core/lanes.h"

namespace ft {

// exp(x) for x <= 0 without table or branch: x = n ln 2 + r with |r| <= ln 2 / 2, exp(r) by its Taylor
// polynomial (the rest is below r^7 / 7! = 1.3e-7), n added to the exponent bits. 0 for what is not a number
// or would not be a normal one.
[[gnu::always_inline]] inline Float4 exp_nonpositive(Float4 x) {
  constexpr float kSmallest = -87.0f;
  const Float4 y = x >= kSmallest ? x : Float4{} + kSmallest;
  const Float4 shifted =
      y * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer, left in the low bits
  const Float4 n = shifted - 12582912.0f;
  const Float4 r =
      (y - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts; the first product is exact
  // In pairs of terms, so that few products wait for each other.
  const Float4 r2 = r * r;
  const Float4 low = (1.0f + r) + r2 * (0.5f + r * (1.0f / 6.0f));
  const Float4 high = (1.0f / 24.0f + r * (1.0f / 120.0f)) + r2 * (1.0f / 720.0f);
  const Float4 series = low + r2 * r2 * high;
  const Int4 bits = std::bit_cast<Int4>(series) + (std::bit_cast<Int4>(shifted) << 23);
  return x >= kSmallest ? std::bit_cast<Float4>(bits) : Float4{};
}

}  // namespace ft
