// Cases of the router and the experts.
#include <algorithm>

#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

namespace {

// Each row chooses `k` of `expert_count` experts; how the row's ids are chosen is the router's business.
OpCase route_case(int64_t width, int32_t expert_count, int k, bool hash) {
  RandomData random(80);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  config.n_routed_experts = expert_count;
  config.num_experts_per_tok = k;
  const int32_t vocab = 50;
  const auto x = random.values(kCaseRows * width);
  const auto gate = random.weight(WeightFormat::kBF16, expert_count, width);
  const auto bias = random.values(expert_count, 0.3f);
  const auto tokens = random.integers(kCaseRows, 0, vocab - 1);
  std::vector<int32_t> table;
  for (int32_t token = 0; token < vocab; ++token) {
    const auto order = random.permutation(expert_count);
    table.insert(table.end(), order.begin(), order.begin() + k);
  }
  const std::string name =
      (hash ? "hash " : "score ") + std::to_string(k) + " of " + std::to_string(expert_count);
  return {name,
          config,
          {f32_tolerance(width)},
          {f32_tolerance(width)},
          [=](BackendMemory& memory, const RowList& rows) {
            const auto count = static_cast<int64_t>(rows.size());
            MoeWeights moe;
            moe.gate = memory.weight(gate);
            if (hash)
              moe.tid2eid = memory.ints(table);
            else
              moe.bias = memory.vector(bias);
            int32_t* ids = memory.output_ints(count * k);
            float* weights = memory.output_floats(count * k);
            memory.backend().route(memory.activation(pick(x, width, rows), width), moe,
                                   memory.ints(pick(tokens, rows)), k, 1.5f, ids, weights);
            const auto all_ids = memory.read(ids, count * k);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(weights, count * k));
            for (int64_t r = 0; r < count; ++r) {
              outputs[r].ints.assign(all_ids.begin() + r * k, all_ids.begin() + (r + 1) * k);
            }
            return outputs;
          }};
}

ExpertWeights place_expert(BackendMemory& memory, const std::vector<HostWeight>& expert) {
  return {memory.weight(expert[0]), memory.weight(expert[1]), memory.weight(expert[2])};
}

OpCase moe_case(WeightFormat format, int64_t width, int64_t inner, int32_t expert_count, int k) {
  RandomData random(81);
  ModelConfig config = nano_config();
  config.hidden_size = width;
  config.moe_intermediate_size = inner;
  config.n_routed_experts = expert_count;
  config.num_experts_per_tok = k;
  config.experts_fp4 = format == WeightFormat::kFp4Row;
  // Of this size some gates and ups exceed the limit of 10.
  const auto x = random.values(kCaseRows * width, 3.0f);
  const auto expert = [&](WeightFormat f) {
    return std::vector<HostWeight>{random.weight(f, inner, width), random.weight(f, inner, width),
                                   random.weight(f, width, inner)};
  };
  std::vector<std::vector<HostWeight>> experts;
  for (int32_t e = 0; e < expert_count; ++e) experts.push_back(expert(format));
  const auto shared = expert(WeightFormat::kFp8Block);
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < kCaseRows; ++r) {
    std::vector<int32_t> chosen = random.permutation(expert_count);
    chosen.resize(static_cast<size_t>(k));
    std::sort(chosen.begin(), chosen.end());
    ids.insert(ids.end(), chosen.begin(), chosen.end());
  }
  const auto weights = random.uniform(kCaseRows * k, 0.1f, 1.5f);
  const std::string name = std::string(config.experts_fp4 ? "fp4 " : "fp8 ") + std::to_string(width) + "x" +
                           std::to_string(inner) + ", " + std::to_string(k) + " of " +
                           std::to_string(expert_count);
  return {name,
          config,
          {f32_tolerance(4 * width)},
          {{0.05, 1.0 / 64, 5e-3}},
          [=](BackendMemory& memory, const RowList& rows) {
            MoeWeights moe;
            for (const auto& host : experts) moe.experts.push_back(place_expert(memory, host));
            moe.shared = place_expert(memory, shared);
            std::vector<int32_t> row_ids;
            for (const int64_t row : rows)
              row_ids.insert(row_ids.end(), ids.begin() + row * k, ids.begin() + (row + 1) * k);
            const Matrix y = memory.output(static_cast<int64_t>(rows.size()), width);
            memory.backend().moe(memory.activation(pick(x, width, rows), width), moe, memory.ints(row_ids),
                                 memory.floats(pick(weights, k, rows)), k, 10.0f, y);
            std::vector<RowOutput> outputs(rows.size());
            append(outputs, memory.read(y));
            return outputs;
          }};
}

}  // namespace

std::vector<OpCases> moe_ops() {
  return {
      {"route",
       [] {
         return std::vector{route_case(256, 8, 2, false), route_case(256, 8, 2, true),
                            route_case(512, 64, 6, false), route_case(512, 64, 6, true)};
       }},
      {"moe",
       [] {
         return std::vector{moe_case(WeightFormat::kFp4Row, 256, 128, 8, 2),
                            moe_case(WeightFormat::kFp4Row, 256, 128, 4, 2),
                            moe_case(WeightFormat::kFp8Block, 256, 128, 8, 2),
                            moe_case(WeightFormat::kFp4Row, 512, 192, 6, 6)};
       }},
  };
}

}  // namespace ft::test
