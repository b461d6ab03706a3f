// The order in which the sums of shards are added (core/shards.h), on the device.
#pragma once

namespace ft::cuda {

// The sum of get(0) .. get(count - 1) as a tree; `count` is 1, 2, 4 or 8.
template <class Get>
__device__ __forceinline__ float tree_sum(int count, Get get) {
  if (count == 1) return get(0);
  if (count == 2) return get(0) + get(1);
  if (count == 4) return (get(0) + get(1)) + (get(2) + get(3));
  return ((get(0) + get(1)) + (get(2) + get(3))) + ((get(4) + get(5)) + (get(6) + get(7)));
}

}  // namespace ft::cuda
