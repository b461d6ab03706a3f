#include "core/backend.h"

namespace ft {

Result<void> cuda_usable(const RankGroup&) {
  return fail(ErrorCode::kUnavailable, "built without CUDA (no CUDA 13 compiler was found, or FT_CUDA=OFF)");
}

Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics, RankGroup ranks, PrefillGemm) {
  return tl::make_unexpected(cuda_usable(ranks).error());
}

Result<std::string> cublaslt_usable() {
  return fail(ErrorCode::kUnavailable, "built without CUDA");
}

}  // namespace ft
