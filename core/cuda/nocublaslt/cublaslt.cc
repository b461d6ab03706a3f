#include "core/cuda/gemm_library.h"

namespace ft::cuda {

Result<std::string> cublaslt_name() {
  return fail(ErrorCode::kUnavailable, "built without it (no cublasLt.h was found)");
}

Result<std::unique_ptr<GemmLibrary>> load_cublaslt() {
  return tl::make_unexpected(cublaslt_name().error());
}

}  // namespace ft::cuda
