// In the place of core/cuda/launch.h: kernels are run by the emulator when they are launched. What nvcc knows by itself
// is defined here, since every kernel includes this first.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "tests/gpu/emulator/emulator.h"
#include "tests/gpu/host/fake_runtime.h"

#undef __shared__
#define __shared__ static thread_local
#undef __launch_bounds__
#define __launch_bounds__(...)
#define threadIdx (::ft::emulator::place().thread)
#define blockIdx (::ft::emulator::place().block)
#define blockDim (::ft::emulator::place().block_dim)
#define gridDim (::ft::emulator::place().grid_dim)

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}

inline void __syncthreads() {
  ft::emulator::sync_block();
}
inline int __syncthreads_or(int value) {
  return ft::emulator::sync_block_or(value != 0) ? 1 : 0;
}
inline void __syncwarp() {
  (void)ft::emulator::exchange({});
}
inline void __threadfence() {}

namespace ft::emulator {

inline unsigned lane() {
  return place().thread.x % 32;
}

template <class T>
T lane_value(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  Words own;
  std::memcpy(own.word, &value, sizeof(T));
  std::memcpy(&value, exchange(own)[from].word, sizeof(T));
  return value;
}

}  // namespace ft::emulator

template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return ft::emulator::lane_value(value, static_cast<unsigned>(from) % 32);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return ft::emulator::lane_value(value, ft::emulator::lane() ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_up_sync(unsigned, T value, int delta) {
  const int from = static_cast<int>(ft::emulator::lane()) - delta;
  return ft::emulator::lane_value(value, from < 0 ? ft::emulator::lane() : static_cast<unsigned>(from));
}
template <class T>
T __shfl_down_sync(unsigned, T value, int delta) {
  const int from = static_cast<int>(ft::emulator::lane()) + delta;
  return ft::emulator::lane_value(value, from > 31 ? ft::emulator::lane() : static_cast<unsigned>(from));
}
inline unsigned __ballot_sync(unsigned, int value) {
  ft::emulator::Words own;
  own.word[0] = value != 0 ? 1 : 0;
  const ft::emulator::Words* lanes = ft::emulator::exchange(own);
  unsigned mask = 0;
  for (unsigned i = 0; i < 32; ++i) mask |= lanes[i].word[0] != 0 ? 1u << i : 0u;
  return mask;
}
inline int __popc(unsigned value) {
  return __builtin_popcount(value);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline float __uint_as_float(unsigned value) {
  return std::bit_cast<float>(value);
}
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
// Of threads of one block, which take turns; clusters use no atomics.
template <class T>
T atomicAdd(T* address, T value) {
  return std::exchange(*address, *address + value);
}

namespace ft::cuda {

struct Queue {
  cudaStream_t stream = nullptr;
  int device = 0;
};

void check_cuda(cudaError_t status, const char* what);

inline void use_device(int) {}

constexpr unsigned ceil_div(int64_t a, int64_t b) {
  return static_cast<unsigned>((a + b - 1) / b);
}

template <class... Parameters, class... Arguments>
void launch(Queue, void (*kernel)(Parameters...), dim3 grid, unsigned threads, size_t shared_bytes,
            unsigned cluster, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  // A kernel's parameters are copies.
  const std::function<void()> thread = [=] { kernel(static_cast<Parameters>(arguments)...); };
  const emulator::Index size{grid.x, grid.y, grid.z};
  const auto run = [=] { emulator::run(size, threads, shared_bytes, cluster, thread); };
  if (test::recording()) {
    test::record(run);
  } else {
    run();
  }
}

}  // namespace ft::cuda
