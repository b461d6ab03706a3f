#include <cuda_runtime_api.h>

#include "core/backend.h"

namespace ft {

Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess)
    return fail(ErrorCode::kUnavailable, "no CUDA device can be used: {}", cudaGetErrorString(status));
  return fail(ErrorCode::kUnavailable, "the CUDA backend is not complete in this build");
}

}  // namespace ft
