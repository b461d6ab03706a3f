// Puts kernels on the backend's queue. Kernels of consecutive launches overlap: the next one starts while the
// last drains and may read weights, but nothing else, before it calls wait_for_previous() (ptx.cuh).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ft::cuda {

// The one stream of a backend, and the device that it belongs to.
struct Queue {
  cudaStream_t stream = nullptr;
  int device = 0;
};

// Ends the program with `what` and the error's text unless `status` is cudaSuccess: device failures are fatal
// (no op can be trusted after one).
void check_cuda(cudaError_t status, const char* what);

// CUDA's calls mean the device that their thread has chosen: makes it this one.
inline void use_device(int device) {
  thread_local int current = -1;
  if (current == device) return;
  check_cuda(cudaSetDevice(device), "cudaSetDevice");
  current = device;
}

// Launches `kernel` with `shared_bytes` of dynamic shared memory,
// in clusters of `cluster` consecutive blocks along x.
template <class... Parameters, class... Arguments>
void launch(Queue queue, void (*kernel)(Parameters...), dim3 grid, unsigned threads, size_t shared_bytes,
            unsigned cluster, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  use_device(queue.device);
  if (shared_bytes > 48 * 1024) {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "cudaFuncSetAttribute");
  }
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  unsigned count = 1;
  if (cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = cluster;
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = queue.stream;
  config.attrs = attributes;
  config.numAttrs = count;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "kernel launch");
}

constexpr unsigned ceil_div(int64_t a, int64_t b) {
  return static_cast<unsigned>((a + b - 1) / b);
}

}  // namespace ft::cuda
