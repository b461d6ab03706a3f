// Four float32 or int32 lanes as a value with the usual operators: vectors for loops over whole rows of
// logits that need no dispatch, and the same bits on every machine.
#pragma once

#include <cstdint>
#include <cstring>

namespace ft {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));  // comparisons of lanes: 0 or -1

inline Float4 load4(const float* from) {
  Float4 lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}
inline Int4 load4(const uint32_t* from) {
  Int4 lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}
inline void store4(Float4 lanes, float* to) {
  std::memcpy(to, &lanes, sizeof(lanes));
}

inline bool any(Int4 lanes) {
  return (lanes[0] | lanes[1] | lanes[2] | lanes[3]) != 0;
}

}  // namespace ft
