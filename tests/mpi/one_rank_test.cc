// What the ranks of this run say together, against this process alone: the same bits, for checkpoints whose widths
// divide in eight and for those whose widths do not.
#include <gtest/gtest.h>

#include "tests/support/loaded_model.h"
#include "tests/support/model_outcome.h"

namespace ft {
namespace {

class MpiRanks : public ::testing::TestWithParam<Numerics> {};

TEST_P(MpiRanks, HaveTheBitsOfOne) {
  const TempDir directory;
  for (const std::string& path :
       {std::string(FT_TEST_DATA "/goldens/tiny-v4"), std::string(FT_TEST_DATA "/goldens/tiny-v4-r128"),
        std::string(FT_TEST_DATA "/goldens/tiny-v4-dspark"), std::string(FT_MODELS "/v4-nano"),
        std::string(FT_MODELS "/v4-nano-dspark"), support::divisible_checkpoint(directory)}) {
    SCOPED_TRACE(path);
    const auto alone = support::open_on(make_cpu_backend(GetParam(), 1), path);
    const auto shared = support::open_checkpoint(path, "cpu1", GetParam());
    const auto expected = support::outcome_of(*alone.backend, *alone.checkpoint);
    const auto seen = support::outcome_of(*shared.backend, *shared.checkpoint);
    ASSERT_FALSE(expected.logits.empty());
    EXPECT_TRUE(support::same_bits(seen.logits, expected.logits));
    EXPECT_TRUE(support::same_bits(seen.hidden, expected.hidden));
    EXPECT_EQ(seen.routes, expected.routes);
  }
}

INSTANTIATE_TEST_SUITE_P(BothNumerics, MpiRanks, ::testing::Values(Numerics::kExact, Numerics::kOfficial),
                         [](const auto& numerics) {
                           return numerics.param == Numerics::kExact ? "Exact" : "Official";
                         });

}  // namespace
}  // namespace ft
