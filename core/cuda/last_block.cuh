// How work that needs the results of several blocks joins their launch: the last of them does it.
#pragma once

#include "core/cuda/device_math.cuh"

namespace ft::cuda {

// Whether this is the last of `count` blocks that come here with the same ticket, which is 0 before and after. Then it
// sees what all of them have written. All threads of a block call it, after their writes and behind
// wait_for_previous(): the ticket belongs to one kernel at a time.
__device__ __forceinline__ bool is_last_block(int32_t* ticket, int32_t count) {
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(ticket, 1) == count - 1;
    if (is_last) *ticket = 0;
  }
  __syncthreads();
  const bool last = is_last;
  __threadfence();
  __syncthreads();  // the flag is free again
  return last;
}

}  // namespace ft::cuda
