// The forward pass against the goldens of the tiny checkpoints,
// exact mode (tests/data/goldens/README.md, tolerances).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>

#include "eval/prefill.h"
#include "tests/support/loaded_model.h"

namespace ft {
namespace {

using support::LoadedModel;

class ModelGolden : public ::testing::TestWithParam<std::tuple<const char*, std::string>> {
 protected:
  std::string path() const { return std::string(FT_TEST_DATA "/goldens/") + std::get<0>(GetParam()); }
  std::string backend() const { return std::get<1>(GetParam()); }
};

int64_t argmax(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

TEST_P(ModelGolden, ExactLogitsMatch) {
  LoadedModel loaded(path(), backend(), Numerics::kExact, 64);
  const support::GoldenFile goldens(path() + "/goldens.safetensors");
  int compared = 0;
  for (const std::string& name : goldens.names("tokens.L")) {
    const std::string length = name.substr(7);
    const std::string full = "logits.exact." + length;
    const std::string tail = "logits_tail.exact." + length;
    if (!goldens.has(full) && !goldens.has(tail)) continue;
    const auto logits = eval::sequence_logits(*loaded.model, goldens.i32(name), 64);
    ASSERT_TRUE(logits) << logits.error().message;
    const auto want = goldens.f32(goldens.has(full) ? full : tail);
    ASSERT_LE(want.size(), logits->size());
    const size_t skip = logits->size() - want.size();
    double worst = 0.0;
    for (size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>((*logits)[skip + i]) - want[i]));
    EXPECT_LE(worst, 1e-4) << name;
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

TEST_P(ModelGolden, ExactGreedyContinuationsMatch) {
  LoadedModel loaded(path(), backend(), Numerics::kExact, 64);
  const support::GoldenFile goldens(path() + "/goldens.safetensors");
  const int64_t vocab = loaded.model->config().vocab_size;
  for (const std::string& name : goldens.names("greedy.exact.tokens.L")) {
    const auto prompt = goldens.i32("tokens." + name.substr(20));
    const auto want = goldens.i32(name);
    KvCache& cache = loaded.model->cache();
    const SequenceId sequence = *cache.open(static_cast<int64_t>(prompt.size() + want.size()));
    std::vector<int32_t> got;
    std::vector<int32_t> next(prompt.begin(), prompt.end());
    while (got.size() < want.size()) {
      const std::vector<int32_t> input = next;
      eval::prefill(
          *loaded.model, sequence, input, 64, [&](const ForwardOutput& output, int64_t, int64_t count) {
            next.assign(1, static_cast<int32_t>(
                               argmax(output.logits.subspan(static_cast<size_t>((count - 1) * vocab)))));
          });
      got.push_back(next[0]);
    }
    cache.close(sequence);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end())) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ModelGolden,
                         ::testing::Combine(::testing::Values("tiny-v4", "tiny-v4-r128", "tiny-v4-dspark"),
                                            ::testing::ValuesIn(support::model_backends())),
                         [](const auto& case_info) {
                           std::string name =
                               std::get<0>(case_info.param) + ("_" + std::get<1>(case_info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ft
