// Whole models on several ranks, which are threads here: logits, hidden streams and routes have the bits of one
// rank. The checkpoints' widths do not divide in eight: shards are uneven, and some ranks own nothing
// of a layer. A made one has widths that divide.
#include <gtest/gtest.h>

#include "core/cpu/target.h"
#include "tests/support/loaded_model.h"
#include "tests/support/model_outcome.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_comm.h"

namespace ft {
namespace {

using Outcome = support::ModelOutcome;
using support::same_bits;

std::vector<Outcome> on_ranks(int count, const std::string& path,
                              const std::function<std::unique_ptr<Backend>(const RankGroup&)>& make) {
  test::ThreadGroup group(count);
  std::vector<Outcome> outcomes(static_cast<size_t>(count));
  group.run([&](const RankGroup& ranks) {
    const support::OpenCheckpoint opened = support::open_on(make(ranks), path);
    outcomes[static_cast<size_t>(ranks.rank)] = support::outcome_of(*opened.backend, *opened.checkpoint);
  });
  return outcomes;
}

void expect_same_on_any_ranks(const std::string& path, const std::string& label,
                              const std::function<std::unique_ptr<Backend>(const RankGroup&)>& make) {
  const Outcome alone = on_ranks(1, path, make)[0];
  ASSERT_FALSE(alone.logits.empty());
  for (const int count : {2, 4, 8}) {
    SCOPED_TRACE(label + ", " + std::to_string(count) + " ranks, " + path);
    for (const Outcome& outcome : on_ranks(count, path, make)) {
      EXPECT_TRUE(same_bits(outcome.logits, alone.logits));
      EXPECT_TRUE(same_bits(outcome.hidden, alone.hidden));
      EXPECT_EQ(outcome.routes, alone.routes);
    }
  }
}

class Ranks : public ::testing::TestWithParam<Numerics> {
 protected:
  Ranks()
      : paths_{FT_TEST_DATA "/goldens/tiny-v4", FT_TEST_DATA "/goldens/tiny-v4-dspark", FT_MODELS "/v4-nano",
               support::divisible_checkpoint(dir_)} {}

  TempDir dir_;
  std::vector<std::string> paths_;
};

TEST_P(Ranks, OfTheReferenceAgreeWithOne) {
  for (const std::string& path : {paths_[0], paths_[3]}) {
    expect_same_on_any_ranks(
        path, "reference", [](const RankGroup& ranks) { return make_reference_backend(GetParam(), ranks); });
  }
}

TEST_P(Ranks, OfTheCpuAgreeWithOneOnEveryTarget) {
  for (const std::string_view target : cpu::available_targets()) {
    ASSERT_TRUE(cpu::use_target(target));
    for (const std::string& path : paths_) {
      expect_same_on_any_ranks(path, std::string(target),
                               [](const RankGroup& ranks) { return make_cpu_backend(GetParam(), 1, ranks); });
    }
  }
  ASSERT_TRUE(cpu::use_target("auto"));
}

INSTANTIATE_TEST_SUITE_P(BothNumerics, Ranks, ::testing::Values(Numerics::kExact, Numerics::kOfficial),
                         [](const auto& numerics) {
                           return numerics.param == Numerics::kExact ? "Exact" : "Official";
                         });

}  // namespace
}  // namespace ft
