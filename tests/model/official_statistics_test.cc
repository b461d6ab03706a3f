// Whole-model runs in official mode are chaotic at the size of the tiny checkpoints,
// so the goldens bound statistics only (tests/data/goldens/README.md, tolerances):
// mean absolute difference of the logits, share of equal argmaxes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <tuple>

#include "eval/prefill.h"
#include "tests/support/loaded_model.h"

namespace ft {
namespace {

struct Statistics {
  const char* directory;
  double mean_difference_max;
  double argmax_equal_min;
  // What the CPU backend had before sums were cut into shards, to compare with (docs/spec/model.md 3.13): sums in one
  // piece, and the output of each expert rounded.
  double mean_difference_before;
  double argmax_equal_before;
};

class OfficialStatistics : public ::testing::TestWithParam<std::tuple<Statistics, std::string>> {};

TEST_P(OfficialStatistics, LogitsAreAsCloseAsTheReferenceIsToItself) {
  const auto& [limits, backend] = GetParam();
  const std::string path = std::string(FT_TEST_DATA "/goldens/") + limits.directory;
  support::LoadedModel loaded(path, backend, Numerics::kOfficial, 64);
  const support::GoldenFile goldens(path + "/goldens.safetensors");
  const auto vocab = static_cast<size_t>(loaded.model->config().vocab_size);
  double difference = 0.0;
  size_t values = 0;
  size_t rows = 0;
  size_t equal = 0;
  for (const std::string& name : goldens.names("tokens.L")) {
    const std::string length = name.substr(7);
    const std::string full = "logits.official." + length;
    const std::string tail = "logits_tail.official." + length;
    if (!goldens.has(full) && !goldens.has(tail)) continue;
    const auto want = goldens.f32(goldens.has(full) ? full : tail);
    const auto logits = eval::sequence_logits(*loaded.model, goldens.i32(name), 64).value();
    const auto got = std::span<const float>(logits).last(want.size());
    for (size_t i = 0; i < want.size(); ++i) difference += std::abs(static_cast<double>(got[i]) - want[i]);
    values += want.size();
    for (size_t i = 0; i < want.size(); i += vocab, ++rows) {
      const auto best = [&](std::span<const float> all) {
        const auto row = all.subspan(i, vocab);
        return std::max_element(row.begin(), row.end()) - row.begin();
      };
      equal += best(want) == best(got) ? 1 : 0;
    }
  }
  ASSERT_GT(rows, 50u);
  const double mean = difference / static_cast<double>(values);
  const double share = static_cast<double>(equal) / static_cast<double>(rows);
  RecordProperty("mean_difference", std::to_string(mean));
  RecordProperty("argmax_equal", std::to_string(share));
  std::cerr << fmt::format(
      "{} on {}: mean difference of logits {:.4f}, equal argmaxes {:.4f}; before shards {:.4f}, {:.4f}\n",
      limits.directory, backend, mean, share, limits.mean_difference_before, limits.argmax_equal_before);
  EXPECT_LE(mean, limits.mean_difference_max);
  EXPECT_GE(share, limits.argmax_equal_min);
}

INSTANTIATE_TEST_SUITE_P(Tiny, OfficialStatistics,
                         ::testing::Combine(::testing::Values(Statistics{"tiny-v4", 0.4, 0.8, 0.1823, 0.9209},
                                                              Statistics{"tiny-v4-r128", 0.15, 0.9, 0.0644,
                                                                         0.9766}),
                                            ::testing::ValuesIn(support::model_backends())),
                         [](const auto& case_info) {
                           std::string name =
                               std::get<0>(case_info.param).directory + ("_" + std::get<1>(case_info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ft
