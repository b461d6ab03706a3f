// Cases of norms and linears.
#include <algorithm>

#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

namespace {

OpCase rms_norm_case(int64_t width, bool in_place) {
  RandomData random(20);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  const auto x = random.values(kCaseRows * width, 3.0f);
  const auto weight = random.uniform(width, -1.5f, 1.5f);
  return {std::to_string(width) + (in_place ? " in place" : ""),
          config,
          {f32_tolerance(width)},
          {bf16_tolerance(width)},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix input = memory.activation(pick(x, width, rows), width);
            const Matrix y = in_place ? input : memory.output(static_cast<int64_t>(rows.size()), width);
            memory.backend().rms_norm(input, memory.vector(weight), y);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(y));
            return outputs;
          }};
}

struct LinearShape {
  const char* name;
  WeightFormat format;
  int64_t cols;  // of the weight
  int64_t rows;
  LinearInput input;
  LinearOutput output;
  int groups = 1;
  int64_t shard_unit = 0;  // of shard_linear; 0: linear
};

OpCase linear_case(const LinearShape& shape) {
  RandomData random(static_cast<uint32_t>(shape.cols * 31 + shape.rows));
  ModelConfig config = nano_config();
  config.hidden_size = std::max({shape.cols * shape.groups, shape.rows, config.hidden_size});
  config.o_groups = std::max(config.o_groups, shape.groups);
  const int64_t width = shape.cols * shape.groups;
  const auto x = random.values(kCaseRows * width);
  const auto weight = random.weight(shape.format, shape.rows, shape.cols);
  const Tolerance f32 = f32_tolerance(shape.cols);
  const Tolerance official = shape.output == LinearOutput::kBF16 ? bf16_tolerance(shape.cols) : f32;
  return {shape.name, config, {f32}, {official}, [=](BackendMemory& memory, const RowList& rows) {
            const Matrix y = memory.output(static_cast<int64_t>(rows.size()), shape.rows);
            const Matrix in = memory.activation(pick(x, width, rows), width);
            const Weight placed = memory.weight(weight);
            if (shape.shard_unit > 0) {
              memory.backend().shard_linear(in, placed, shape.shard_unit, y, shape.input, shape.output);
            } else {
              memory.backend().linear(in, placed, y, shape.input, shape.output, shape.groups);
            }
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(y));
            return outputs;
          }};
}

// A few products of two inputs, and more of them than a device launches together.
OpCase linears_case(int copies) {
  constexpr int64_t kWidth = 256, kOutputs = 64;
  RandomData random(17);
  const std::vector<float> inputs[] = {random.values(kCaseRows * kWidth), random.values(kCaseRows * kWidth)};
  std::vector<HostWeight> weights;
  for (int i = 0; i < copies; ++i) {
    weights.push_back(random.weight(WeightFormat::kBF16, kOutputs, kWidth));
    weights.push_back(random.weight(WeightFormat::kFp8Block, kOutputs, kWidth));
  }
  return {std::to_string(2 * copies),
          nano_config(),
          {f32_tolerance(kWidth)},
          {bf16_tolerance(kWidth)},
          [=](BackendMemory& memory, const RowList& rows) {
            const Matrix x[] = {memory.activation(pick(inputs[0], kWidth, rows), kWidth),
                                memory.activation(pick(inputs[1], kWidth, rows), kWidth)};
            std::vector<Weight> placed;
            for (const HostWeight& weight : weights) placed.push_back(memory.weight(weight));
            std::vector<LinearCall> calls;
            for (size_t i = 0; i < placed.size(); ++i)
              calls.push_back({x[i % 3 == 0 ? 1 : 0], &placed[i],
                               memory.output(static_cast<int64_t>(rows.size()), kOutputs), LinearInput::kQ8,
                               LinearOutput::kBF16});
            memory.backend().linears(calls);
            std::vector<RowOutput> outputs(rows.size());
            for (const LinearCall& call : calls) append(outputs, memory.read(call.y));
            return outputs;
          }};
}

std::vector<OpCase> linear_cases() {
  constexpr auto kFp8 = WeightFormat::kFp8Block;
  constexpr auto kFp4 = WeightFormat::kFp4Row;
  constexpr auto kBF16 = WeightFormat::kBF16;
  constexpr auto kF32 = WeightFormat::kF32;
  constexpr auto kQ8 = LinearInput::kQ8;
  constexpr auto kAsIs = LinearInput::kAsIs;
  constexpr auto kBf16Input = LinearInput::kBF16;
  constexpr auto kToBF16 = LinearOutput::kBF16;
  constexpr auto kToF32 = LinearOutput::kF32;
  const LinearShape shapes[] = {
      {"nano wq_a fp8 256->64", kFp8, 256, 64, kQ8, kToBF16},
      {"nano wq_b fp8 64->512", kFp8, 64, 512, kQ8, kToBF16},
      {"nano wkv fp8 256->128", kFp8, 256, 128, kQ8, kToBF16},
      {"nano wo_a fp8 2 groups of 256->64", kFp8, 256, 128, kBf16Input, kToBF16, 2},
      {"nano indexer wq_b fp8 64->128", kFp8, 64, 128, kQ8, kToBF16},
      {"nano weights_proj bf16 256->2", kBF16, 256, 2, kBf16Input, kToBF16},
      {"nano compressor bf16 256->256", kBF16, 256, 256, kBf16Input, kToF32},
      {"nano head bf16 256->512", kBF16, 256, 512, kBf16Input, kToF32},
      {"main_proj of three layers fp8 768->256", kFp8, 768, 256, kQ8, kToBF16},
      {"confidence bf16 320->1", kBF16, 320, 1, kAsIs, kToF32},
      {"ragged bf16 320->33", kBF16, 320, 33, kBf16Input, kToF32},
      {"wide heads wq_b fp8 128->2048", kFp8, 128, 2048, kQ8, kToBF16},
      {"wide heads wo_a fp8 2 groups of 1024->128", kFp8, 1024, 256, kBf16Input, kToBF16, 2},
      {"expert w1 fp4 256->128", kFp4, 256, 128, kQ8, kToBF16},
      {"expert w2 fp4 128->256", kFp4, 128, 256, kQ8, kToBF16},
      {"narrow fp4 32->16", kFp4, 32, 16, kQ8, kToF32},
      {"plain f32 256->24", kF32, 256, 24, kAsIs, kToF32},
      {"a bf16 weight is not quantised for", kBF16, 256, 64, kQ8, kToBF16},
      {"ragged fp8 320->192", kFp8, 320, 192, kQ8, kToF32},
      {"ragged fp8 8 groups of 128->33", kFp8, 128, 264, kBf16Input, kToBF16, 8},
      {"long fp8 4096->72", kFp8, 4096, 72, kQ8, kToBF16},
      {"long fp4 2048->40", kFp4, 2048, 40, kQ8, kToBF16},
  };
  std::vector<OpCase> cases;
  for (const LinearShape& shape : shapes) cases.push_back(linear_case(shape));
  return cases;
}

std::vector<OpCase> shard_linear_cases() {
  constexpr auto kFp8 = WeightFormat::kFp8Block;
  constexpr auto kQ8 = LinearInput::kQ8;
  constexpr auto kToBF16 = LinearOutput::kBF16;
  const LinearShape shapes[] = {
      {"nano wo_b fp8 128->256", kFp8, 128, 256, kQ8, kToBF16, 1, 128},
      {"wo_b of 8 groups fp8 1024->256", kFp8, 1024, 256, kQ8, kToBF16, 1, 128},
      {"wo_b of 10 groups fp8 2560->64", kFp8, 2560, 64, kQ8, kToBF16, 1, 256},
      {"ragged fp8 320->33", kFp8, 320, 33, kQ8, kToBF16, 1, 128},
      {"bf16 1100->24", WeightFormat::kBF16, 1100, 24, kQ8, kToBF16, 1, 128},
  };
  std::vector<OpCase> cases;
  for (const LinearShape& shape : shapes) cases.push_back(linear_case(shape));
  return cases;
}

}  // namespace

std::vector<OpCases> linear_ops() {
  return {
      {"rms_norm",
       [] {
         return std::vector{rms_norm_case(256, false), rms_norm_case(64, true), rms_norm_case(4096, false)};
       }},
      {"linear", linear_cases},
      {"shard_linear", shard_linear_cases},
      {"linears",
       [] {
         return std::vector{linears_case(1), linears_case(6)};
       }},
  };
}

}  // namespace ft::test
