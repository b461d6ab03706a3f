// The backend of the emulator's tests: the CUDA backend with its kernels run on the host.
#include <cstdlib>

#include "core/check.h"
#include "core/cuda/peer_gather.h"
#include "tests/support/backends.h"

namespace ft {

namespace test {

std::vector<BackendUnderTest> backends_under_test() {
  return {{"cuda, emulated", "cuda", [](Numerics numerics) {
             auto backend = make_cuda_backend(numerics);
             FT_CHECK(backend.has_value(), backend.error().message);
             return std::move(*backend);
           }}};
}

}  // namespace test

// Of several processes with devices, which the stand-in for CUDA's runtime does not have.
void cuda::peer_gather(Queue, const PeerGather&, const void*, void*, size_t) {
  std::abort();
}

}  // namespace ft
