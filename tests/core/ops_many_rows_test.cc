// Linears of 1 to 70 rows, more than the table of cases has: the row counts at which a device changes how it tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

constexpr int64_t kRows = 70;

struct Shape {
  WeightFormat format;
  int64_t cols;  // of the weight
  int64_t rows;
  LinearInput input;
  int groups = 1;
  int64_t shard_unit = 0;  // of shard_linear; 0: linear
};

class ManyRows : public ::testing::TestWithParam<Shape> {
 protected:
  std::vector<RowOutput> run(Backend& backend, const RowList& rows) const {
    const Shape& shape = GetParam();
    BackendMemory memory(backend, 12);
    const int64_t width = shape.cols * shape.groups;
    const Matrix x = memory.activation(pick(x_, width, rows), width);
    const Matrix y = memory.output(static_cast<int64_t>(rows.size()), shape.rows);
    const Weight weight = memory.weight(weight_);
    if (shape.shard_unit > 0) {
      backend.shard_linear(x, weight, shape.shard_unit, y, shape.input, LinearOutput::kF32);
    } else {
      backend.linear(x, weight, y, shape.input, LinearOutput::kF32, shape.groups);
    }
    std::vector<RowOutput> outputs(rows.size());
    append(outputs, memory.read(y));
    return outputs;
  }

  void SetUp() override {
    RandomData random(11);
    x_ = random.values(kRows * GetParam().cols * GetParam().groups);
    weight_ = random.weight(GetParam().format, GetParam().rows, GetParam().cols);
    config_ = nano_config();
    config_.hidden_size = std::max(GetParam().cols * GetParam().groups, GetParam().rows);
    config_.o_groups = std::max(config_.o_groups, GetParam().groups);
  }

  std::vector<float> x_;
  HostWeight weight_;
  ModelConfig config_;
};

RowList range(int64_t first, int64_t count) {
  RowList rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

TEST_P(ManyRows, AgreeWithTheReferenceAndDoNotDependOnTheirNumber) {
  const auto reference = make_reference_backend(Numerics::kOfficial);
  reference->reserve(config_, kRows);
  const auto expected = run(*reference, range(0, kRows));
  for (const BackendUnderTest& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.label);
    const auto backend = under_test.make(Numerics::kOfficial);
    backend->reserve(config_, kRows);
    const auto all = run(*backend, range(0, kRows));
    EXPECT_TRUE(agrees(all, expected, {f32_tolerance(GetParam().cols)}));
    if (backend->name() == reference->name()) continue;
    for (const int64_t count : {1, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65}) {
      const int64_t first = kRows - count;
      const std::vector<RowOutput> last(all.begin() + first, all.end());
      EXPECT_TRUE(same_bits(run(*backend, range(first, count)), last)) << count << " rows";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Linears, ManyRows,
                         ::testing::Values(Shape{WeightFormat::kFp8Block, 128, 128, LinearInput::kQ8},
                                           Shape{WeightFormat::kFp8Block, 256, 72, LinearInput::kQ8},
                                           Shape{WeightFormat::kFp8Block, 1024, 328, LinearInput::kQ8},
                                           Shape{WeightFormat::kFp8Block, 1152, 200, LinearInput::kQ8},
                                           Shape{WeightFormat::kFp8Block, 4096, 40, LinearInput::kQ8},
                                           Shape{WeightFormat::kFp8Block, 640, 256, LinearInput::kAsIs, 2},
                                           Shape{WeightFormat::kFp8Block, 1024, 160, LinearInput::kQ8, 1,
                                                 128},
                                           Shape{WeightFormat::kFp8Block, 1280, 48, LinearInput::kQ8, 1, 256},
                                           Shape{WeightFormat::kFp4Row, 512, 144, LinearInput::kQ8},
                                           Shape{WeightFormat::kBF16, 1024, 136, LinearInput::kAsIs}),
                         [](const ::testing::TestParamInfo<Shape>& tested) {
                           const Shape& shape = tested.param;
                           const char* format = shape.format == WeightFormat::kFp8Block ? "Fp8"
                                                : shape.format == WeightFormat::kFp4Row ? "Fp4"
                                                                                        : "Bf16";
                           return std::string(format) + "_" + std::to_string(shape.groups) + "x" +
                                  std::to_string(shape.cols) + "_" + std::to_string(shape.rows) +
                                  (shape.shard_unit > 0 ? "_sharded" : "");
                         });

}  // namespace
}  // namespace ft::test
