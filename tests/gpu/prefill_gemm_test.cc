// Linears of long prompts by cuBLASLt against the kernels that compute every other row, on a device.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/backend_memory.h"
#include "tests/support/linear_shape.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

// Products are exact in both; sums differ in their order and, of fp8 codes on compute capability 9.0, in the bits that
// the tensor core keeps of a sum of 128 products. A bf16 result may so be another neighbour (2^-8), rarely.
constexpr double kDifferenceMax = 2e-3;  // of norms
constexpr double kElementMax = 1e-2;     // of one element, times the root mean square of its row

class LongPrompts : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = make_cuda_backend(Numerics::kOfficial, {}, PrefillGemm::kCublasLt);
    if (!made) GTEST_SKIP() << "SKIPPED: no cuBLASLt: " << made.error().message;
    backend_ = std::move(*made);
    ModelConfig config = nano_config();
    config.hidden_size = 8192;
    backend_->reserve(config, kRows);
  }

  // The output with `prompts` named, and without.
  std::pair<std::vector<float>, std::vector<float>> run(const LinearShape& shape,
                                                        const std::vector<RowRange>& prompts) {
    BackendMemory memory(*backend_, 16);
    RandomData random(static_cast<uint32_t>(shape.cols + shape.rows));
    const int64_t width = shape.cols * shape.groups;
    const Matrix x = memory.activation(random.values(kRows * width), width);
    const Weight weight = memory.weight(random.weight(shape.format, shape.rows, shape.cols));
    std::vector<float> outputs[2];
    for (const bool named : {true, false}) {
      const Matrix y = memory.output(kRows, shape.rows);
      if (named) backend_->set_prompt_rows(prompts);
      multiply(*backend_, shape, x, weight, y);
      backend_->set_prompt_rows({});
      outputs[named ? 0 : 1] = memory.read(y);
    }
    return {outputs[0], outputs[1]};
  }

  static constexpr int64_t kRows = 210;
  std::unique_ptr<Backend> backend_;
};

TEST_F(LongPrompts, AgreeWithTheOtherRows) {
  constexpr auto kFp8 = WeightFormat::kFp8Block;
  constexpr auto kBF16 = WeightFormat::kBF16;
  const std::vector<RowRange> prompts = {{3, 75}, {80, 128}};
  for (const LinearShape& shape : {
           LinearShape{kFp8, 4096, 1024, LinearInput::kQ8, LinearOutput::kBF16},
           LinearShape{kFp8, 1024, 4096, LinearInput::kQ8, LinearOutput::kBF16},
           LinearShape{kFp8, 640, 200, LinearInput::kQ8, LinearOutput::kF32},
           LinearShape{kFp8, 1024, 2048, LinearInput::kAsIs, LinearOutput::kBF16, 8},
           LinearShape{kFp8, 8192, 4096, LinearInput::kQ8, LinearOutput::kBF16, 1, 1024},
           LinearShape{kBF16, 4096, 512, LinearInput::kAsIs, LinearOutput::kF32},
           LinearShape{kBF16, 4096, 64, LinearInput::kAsIs, LinearOutput::kBF16},
       }) {
    SCOPED_TRACE(std::to_string(shape.cols) + " -> " + std::to_string(shape.rows));
    const auto [seen, expected] = run(shape, prompts);
    for (int64_t row = 0; row < kRows; ++row) {
      const bool prompt = (row >= 3 && row < 78) || (row >= 80 && row < 208);
      double squares = 0.0;
      double difference = 0.0;
      double largest = 0.0;
      for (int64_t i = row * shape.rows; i < (row + 1) * shape.rows; ++i) {
        const double a = seen[static_cast<size_t>(i)];
        const double b = expected[static_cast<size_t>(i)];
        ASSERT_TRUE(std::isfinite(a)) << "row " << row;
        squares += b * b;
        difference += (a - b) * (a - b);
        largest = std::max(largest, std::abs(a - b) - std::abs(b) / 128);
      }
      if (!prompt) {
        EXPECT_EQ(difference, 0.0) << "row " << row << " is no prompt's";
        continue;
      }
      EXPECT_LE(std::sqrt(difference), kDifferenceMax * std::sqrt(squares)) << "row " << row;
      EXPECT_LE(largest, kElementMax * std::sqrt(squares / static_cast<double>(shape.rows))) << "row " << row;
    }
  }
}

// The same prompt rows give the same bits, whatever lies around them.
TEST_F(LongPrompts, DependOnTheirLengthAlone) {
  const LinearShape shape{WeightFormat::kFp8Block, 1024, 4096, LinearInput::kQ8, LinearOutput::kBF16};
  const auto once = run(shape, {{80, 128}}).first;
  const auto again = run(shape, {{3, 75}, {80, 128}}).first;
  for (int64_t i = 80 * shape.rows; i < 208 * shape.rows; ++i)
    ASSERT_EQ(once[static_cast<size_t>(i)], again[static_cast<size_t>(i)]) << "row " << i / shape.rows;
}

}  // namespace
}  // namespace ft::test
