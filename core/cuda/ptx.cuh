// The instructions that have no name in CUDA C++, and the shared memory that a launch gives. The emulator of
// tests/gpu/emulator has its own.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace ft::cuda {

// Waits until every earlier kernel of the queue is complete and its writes are visible. Before it, only
// weights may be read and nothing may be written. Every kernel calls it, so completion of one implies
// completion of all before it.
__device__ __forceinline__ void wait_for_previous() {
  // Lets the next kernel start as soon as all blocks of this one are running; it will wait in the same place.
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

__device__ __forceinline__ void prefetch_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// The dynamic shared memory of the block, aligned to 16 bytes.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ uint4 memory[];
  return reinterpret_cast<T*>(memory);
}

// 16 bytes of a weight: read once, so not kept in L1.
__device__ __forceinline__ uint4 load_weight(const void* address) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(address));
  return v;
}

// d[16x8] += a[16x16] b[16x8], bf16 with float32 sums. Lane 4g+t holds of a rows g and g+8 (a0, a1) at
// columns 2t, 2t+1, and (a2, a3) at columns 2t+8, 2t+9; of b the same rows of column g; of d rows g (d0, d1),
// g+8 (d2, d3) at columns 2t, 2t+1.
__device__ __forceinline__ void mma_bf16(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                         uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

}  // namespace ft::cuda
