// Products by a matrix library, for long prompts: what PromptLinears asks of cuBLASLt.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/cuda/launch.h"
#include "core/error.h"

namespace ft::cuda {

// y[r, g*outputs + i] = weight[g*outputs + i, :] . x[r, g*inputs : (g+1)*inputs], sums in float32. Row-major.
// Block-scaled: codes are e4m3. A weight has a float32 scale for each 128x128 block, [ceil(outputs/128)] rows of
// scale_stride(inputs); x has one for each row and 128 columns, [inputs/128, rows]. Otherwise both are bf16.
struct GemmShape {
  bool block_scaled = false;  // one group then
  int64_t rows = 0;           // of x and y, a multiple of 8
  int64_t inputs = 0;         // a multiple of 128
  int64_t outputs = 0;        // of one group, a multiple of 8
  int64_t groups = 1;
  int64_t x_stride = 0;  // in elements, here and below
  int64_t y_stride = 0;
  auto operator<=>(const GemmShape&) const = default;
};

// Device memory, aligned to 16 bytes.
struct GemmOperands {
  const void* weight = nullptr;
  const float* weight_scales = nullptr;
  const void* x = nullptr;
  const float* x_scales = nullptr;
  float* y = nullptr;
};

constexpr int64_t scale_stride(int64_t inputs) {
  return (inputs / 128 + 3) / 4 * 4;
}

// Device memory that a product may use.
inline constexpr size_t kGemmWorkspaceBytes = size_t{32} << 20;

class GemmLibrary {
 public:
  virtual ~GemmLibrary() = default;
  virtual std::string name() const = 0;
  // Whether it has an algorithm for this shape on this device. The first call decides which, once and for all.
  virtual bool takes(const GemmShape& shape) = 0;
  // A shape that it takes. Ends the program where the device refuses.
  virtual void multiply(Queue queue, const GemmShape& shape, const GemmOperands& operands,
                        void* workspace) = 0;
};

// "cuBLASLt 13.0.2". kUnavailable where this build (core/cuda/nocublaslt) or machine has none: it is loaded here.
Result<std::string> cublaslt_name();
// For the device that the thread has chosen. Errors as above, and where cuBLASLt cannot use the device.
Result<std::unique_ptr<GemmLibrary>> load_cublaslt();

}  // namespace ft::cuda
