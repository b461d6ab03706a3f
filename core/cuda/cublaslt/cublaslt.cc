// cuBLASLt, loaded when it is used.
#include <cublasLt.h>

#include <map>

#include "core/check.h"
#include "core/cuda/gemm_library.h"
#include "core/cuda/loaded_library.h"

namespace ft::cuda {

namespace {

struct Library {
  decltype(&cublasLtGetVersion) get_version = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) product_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) product_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) product_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;

  static Result<Library> load() {
    Result<LoadedLibrary> loaded = LoadedLibrary::load("libcublasLt.so.13");
    if (!loaded) return tl::make_unexpected(loaded.error());
    Library library;
    loaded->find(library.get_version, "cublasLtGetVersion");
    loaded->find(library.status_string, "cublasLtGetStatusString");
    loaded->find(library.create, "cublasLtCreate");
    loaded->find(library.destroy, "cublasLtDestroy");
    loaded->find(library.product_create, "cublasLtMatmulDescCreate");
    loaded->find(library.product_destroy, "cublasLtMatmulDescDestroy");
    loaded->find(library.product_set, "cublasLtMatmulDescSetAttribute");
    loaded->find(library.layout_create, "cublasLtMatrixLayoutCreate");
    loaded->find(library.layout_destroy, "cublasLtMatrixLayoutDestroy");
    loaded->find(library.layout_set, "cublasLtMatrixLayoutSetAttribute");
    loaded->find(library.preference_create, "cublasLtMatmulPreferenceCreate");
    loaded->find(library.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    loaded->find(library.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    loaded->find(library.heuristic, "cublasLtMatmulAlgoGetHeuristic");
    loaded->find(library.matmul, "cublasLtMatmul");
    if (!loaded->complete())
      return fail(ErrorCode::kUnavailable, "libcublasLt.so.13 lacks functions of cuBLASLt 13");
    return library;
  }

  std::string name() const {
    const size_t version = get_version();
    return fmt::format("cuBLASLt {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  void require(cublasStatus_t status, const char* what) const {
    FT_CHECK(status == CUBLAS_STATUS_SUCCESS, what, status_string(status));
  }
};

// A product of one shape. cuBLASLt's matrices are column-major: a row-major [a, b] is its [b, a].
struct Plan {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t weight = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  bool found = false;
};

class CublasLt final : public GemmLibrary {
 public:
  CublasLt(const Library& library, cublasLtHandle_t handle) : library_(library), handle_(handle) {}
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  ~CublasLt() override {
    for (const auto& [shape, plan] : plans_) {
      library_.layout_destroy(plan.weight);
      library_.layout_destroy(plan.x);
      library_.layout_destroy(plan.y);
      library_.product_destroy(plan.product);
    }
    library_.destroy(handle_);
  }

  std::string name() const override { return library_.name(); }
  bool takes(const GemmShape& shape) override { return plan_of(shape).found; }

  void multiply(Queue queue, const GemmShape& shape, const GemmOperands& operands, void* workspace) override {
    use_device(queue.device);
    const Plan& plan = plan_of(shape);
    FT_CHECK(plan.found, shape.rows, shape.inputs, shape.outputs, shape.groups);
    if (shape.block_scaled) {
      set(plan.product, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.weight_scales);
      set(plan.product, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.x_scales);
    }
    const float one = 1.0f;
    const float zero = 0.0f;
    library_.require(library_.matmul(handle_, plan.product, &one, operands.weight, plan.weight, operands.x,
                                     plan.x, &zero, operands.y, plan.y, operands.y, plan.y, &plan.algorithm,
                                     workspace, kGemmWorkspaceBytes, queue.stream),
                     "cublasLtMatmul");
  }

 private:
  template <class T>
  void set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const T& value) const {
    library_.require(library_.product_set(product, attribute, &value, sizeof(value)),
                     "cublasLtMatmulDescSetAttribute");
  }

  template <class T>
  void prefer(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
              const T& value) const {
    library_.require(library_.preference_set(preference, attribute, &value, sizeof(value)),
                     "cublasLtMatmulPreferenceSetAttribute");
  }

  // `rows` of `stride` elements, of which `cols` count; then the same for each group, `group` elements on.
  cublasLtMatrixLayout_t layout(cudaDataType type, int64_t rows, int64_t cols, int64_t stride, int64_t groups,
                                int64_t group) const {
    cublasLtMatrixLayout_t made = nullptr;
    library_.require(
        library_.layout_create(&made, type, static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), stride),
        "cublasLtMatrixLayoutCreate");
    if (groups > 1) {
      const auto count = static_cast<int32_t>(groups);
      library_.require(library_.layout_set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)),
                       "cublasLtMatrixLayoutSetAttribute");
      library_.require(
          library_.layout_set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &group, sizeof(group)),
          "cublasLtMatrixLayoutSetAttribute");
    }
    return made;
  }

  const Plan& plan_of(const GemmShape& shape) {
    const auto [place, is_new] = plans_.try_emplace(shape);
    if (is_new) make(shape, place->second);
    return place->second;
  }

  void make(const GemmShape& shape, Plan& plan) const {
    const cudaDataType type = shape.block_scaled ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    library_.require(library_.product_create(&plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                     "cublasLtMatmulDescCreate");
    set(plan.product, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(plan.product, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    plan.weight =
        layout(type, shape.outputs, shape.inputs, shape.inputs, shape.groups, shape.outputs * shape.inputs);
    plan.x = layout(type, shape.rows, shape.inputs, shape.x_stride, shape.groups, shape.inputs);
    plan.y = layout(CUDA_R_32F, shape.rows, shape.outputs, shape.y_stride, shape.groups, shape.outputs);
    if (shape.block_scaled) {
      set(plan.product, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F);
      set(plan.product, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F);
      set(plan.product, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{0});
      // The choice looks at the alignment of addresses alone; multiply() names the true ones.
      const void* aligned = reinterpret_cast<const void*>(uintptr_t{256});
      set(plan.product, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, aligned);
      set(plan.product, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, aligned);
    }
    cublasLtMatmulPreference_t preference = nullptr;
    library_.require(library_.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
    prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kGemmWorkspaceBytes});
    // Splits of K may add in float32 only, each in its own place.
    prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(preference, operand, uint32_t{16});
    cublasLtMatmulHeuristicResult_t best = {};
    int count = 0;
    const cublasStatus_t status = library_.heuristic(handle_, plan.product, plan.weight, plan.x, plan.y,
                                                     plan.y, preference, 1, &best, &count);
    library_.preference_destroy(preference);
    plan.found = status == CUBLAS_STATUS_SUCCESS && count == 1 && best.state == CUBLAS_STATUS_SUCCESS;
    plan.algorithm = best.algo;
  }

  Library library_;
  cublasLtHandle_t handle_;
  std::map<GemmShape, Plan> plans_;
};

}  // namespace

Result<std::string> cublaslt_name() {
  const auto library = Library::load();
  if (!library) return tl::make_unexpected(library.error());
  return library->name();
}

Result<std::unique_ptr<GemmLibrary>> load_cublaslt() {
  const auto library = Library::load();
  if (!library) return tl::make_unexpected(library.error());
  cublasLtHandle_t handle = nullptr;
  if (const cublasStatus_t status = library->create(&handle); status != CUBLAS_STATUS_SUCCESS)
    return fail(ErrorCode::kUnavailable, "cuBLASLt cannot use the device: {}",
                library->status_string(status));
  return std::make_unique<CublasLt>(*library, handle);
}

}  // namespace ft::cuda
