// In the place of core/cuda/ptx.cuh: what its instructions do.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

#include "core/cuda/launch.h"

namespace ft::cuda {

inline void wait_for_previous() {}  // kernels run one after the other

inline void prefetch_l2(const void*) {}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::dynamic_shared());
}

inline uint4 load_weight(const void* address) {
  uint4 v;
  std::memcpy(&v, address, sizeof(v));
  return v;
}

// Products are exact; they are added one by one in float32, which is one of the orders that the hardware may take.
inline void mma_bf16(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                     uint32_t b1) {
  const auto pack = [](uint32_t low, uint32_t high) { return uint64_t{low} | uint64_t{high} << 32; };
  const emulator::Words own{{pack(a0, a1), pack(a2, a3), pack(b0, b1)}};
  const emulator::Words* lanes = emulator::exchange(own);
  const auto value = [](uint64_t word, unsigned index) {
    return std::bit_cast<float>(static_cast<uint32_t>(word >> (16 * index) & 0xffffu) << 16);
  };
  const unsigned lane = emulator::lane();
  for (unsigned k = 0; k < 16; ++k) {
    const emulator::Words& row = lanes[lane / 4 * 4 + k % 8 / 2];
    const float low = value(row.word[k / 8], k % 2);       // of row g
    const float high = value(row.word[k / 8], 2 + k % 2);  // of row g + 8
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned column = lane % 4 * 2 + i;
      const float b = value(lanes[column * 4 + k % 8 / 2].word[2], k / 8 * 2 + k % 2);
      d[i] += low * b;
      d[2 + i] += high * b;
    }
  }
}

}  // namespace ft::cuda
