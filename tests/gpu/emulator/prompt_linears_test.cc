// Linears of long prompts with a library that multiplies on the host, with the layouts that cuBLASLt's manual states.
#include "core/cuda/prompt_linears.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/cuda/cuda_backend.h"
#include "core/quantize.h"
#include "tests/support/backend_memory.h"
#include "tests/support/compare.h"
#include "tests/support/linear_shape.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

using cuda::GemmOperands;
using cuda::GemmShape;

class HostLibrary final : public cuda::GemmLibrary {
 public:
  explicit HostLibrary(bool block_scaled) : block_scaled_(block_scaled) {}
  std::string name() const override { return "the host"; }
  bool takes(const GemmShape& shape) override { return block_scaled_ || !shape.block_scaled; }

  // A is the weight, K-major, and its scales are K-major with columns of a multiple of four. B is x, K-major, and its
  // scales are N-major. D is M-major.
  void multiply(cuda::Queue, const GemmShape& shape, const GemmOperands& operands, void*) override {
    const int64_t stride = (shape.inputs / 128 + 3) / 4 * 4;
    for (int64_t group = 0; group < shape.groups; ++group) {
      for (int64_t n = 0; n < shape.rows; ++n) {
        for (int64_t m = 0; m < shape.outputs; ++m) {
          double sum = 0.0;
          for (int64_t k = 0; k < shape.inputs; ++k) {
            const int64_t a = (group * shape.outputs + m) * shape.inputs + k;
            const int64_t b = n * shape.x_stride + group * shape.inputs + k;
            if (shape.block_scaled) {
              sum += double{code(operands.weight, a)} * operands.weight_scales[m / 128 * stride + k / 128] *
                     code(operands.x, b) * operands.x_scales[k / 128 * shape.rows + n];
            } else {
              sum += double{half(operands.weight, a)} * half(operands.x, b);
            }
          }
          operands.y[n * shape.y_stride + group * shape.outputs + m] = static_cast<float>(sum);
        }
      }
    }
  }

 private:
  static float code(const void* data, int64_t at) {
    return e4m3_to_f32(static_cast<const uint8_t*>(data)[at]);
  }
  static float half(const void* data, int64_t at) {
    return bf16_to_f32(static_cast<const uint16_t*>(data)[at]);
  }

  bool block_scaled_;
};

TEST(PromptLinears, AgreeWithTheReference) {
  constexpr int64_t kRows = 80;
  constexpr auto kFp8 = WeightFormat::kFp8Block;
  for (const bool block_scaled : {false, true}) {
    for (const LinearShape& shape :
         {LinearShape{kFp8, 256, 64, LinearInput::kQ8, LinearOutput::kF32},
          LinearShape{kFp8, 1152, 200, LinearInput::kQ8, LinearOutput::kBF16},
          LinearShape{kFp8, 256, 256, LinearInput::kAsIs, LinearOutput::kBF16, 2},
          LinearShape{kFp8, 1024, 72, LinearInput::kQ8, LinearOutput::kBF16, 1, 128},
          LinearShape{WeightFormat::kBF16, 384, 24, LinearInput::kAsIs, LinearOutput::kF32}}) {
      SCOPED_TRACE(std::to_string(shape.cols) + " -> " + std::to_string(shape.rows) +
                   (block_scaled ? ", scaled" : ", widened"));
      RandomData random(5);
      const int64_t width = shape.cols * shape.groups;
      const auto values = random.values(kRows * width);
      const HostWeight weight = random.weight(shape.format, shape.rows, shape.cols);
      ModelConfig config = nano_config();
      config.hidden_size = std::max(width, shape.rows);
      const auto run = [&](Backend& backend) {
        backend.reserve(config, kRows);
        BackendMemory memory(backend, 4);
        const Matrix x = memory.activation(values, width);
        const Matrix y = memory.output(kRows, shape.rows);
        const Weight placed = memory.weight(weight);
        const RowRange prompts[] = {{2, 67}, {70, 9}};
        backend.set_prompt_rows(prompts);
        multiply(backend, shape, x, placed, y);
        backend.set_prompt_rows({});
        std::vector<RowOutput> outputs(kRows);
        append(outputs, memory.read(y));
        return outputs;
      };
      cuda::CudaBackend backend(Numerics::kOfficial, 0, "emulated", {}, nullptr,
                                std::make_unique<HostLibrary>(block_scaled));
      const auto reference = make_reference_backend(Numerics::kOfficial);
      const Tolerance tolerance =
          shape.output == LinearOutput::kBF16 ? bf16_tolerance(shape.cols) : f32_tolerance(shape.cols);
      EXPECT_TRUE(agrees(run(backend), run(*reference), {tolerance}));
    }
  }
}

}  // namespace
}  // namespace ft::test
