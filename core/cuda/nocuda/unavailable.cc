#include "core/backend.h"

namespace ft {

Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics, RankGroup) {
  return fail(ErrorCode::kUnavailable, "built without CUDA (no CUDA 13 compiler was found, or FT_CUDA=OFF)");
}

}  // namespace ft
