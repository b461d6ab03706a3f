#include "eval/engine_arm.h"

#include <gtest/gtest.h>

#include "eval/paper_selection.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

TEST(EngineArm, ReadsWhatANameSays) {
  GenerateOptions base;
  base.max_tokens = 7;
  const auto fixed = parse_arm("cpu/dspark+ngram/12", base);
  ASSERT_TRUE(fixed) << fixed.error().message;
  EXPECT_EQ(fixed->session.backend, "cpu");
  EXPECT_EQ(fixed->drafter, "dspark+ngram");
  EXPECT_EQ(fixed->tree_nodes, 12);
  EXPECT_EQ(fixed->max_tokens, 7);
  EXPECT_EQ(parse_arm("reference/none/1", base)->tree_nodes, 1);
  EXPECT_EQ(parse_arm("cpu/auto/adaptive", base)->tree_nodes, 0);
}

TEST(EngineArm, NamesWhatItCannotRead) {
  for (const char* name : {"", "cpu", "cpu/dspark", "cpu/dspark/", "cpu/dspark/0", "cpu/dspark/-3",
                           "cpu/dspark/8x", "cpu/dspark/8/9", "cpu/dspark/99999999999"}) {
    const auto arm = parse_arm(name, {});
    ASSERT_FALSE(arm) << name;
    EXPECT_NE(arm.error().message.find(fmt::format("\"{}\"", name)), std::string::npos)
        << arm.error().message;
  }
}

TEST(EngineOptions, FollowTheFlags) {
  const auto config = ModelConfig::parse(file_bytes(FT_MODELS "/v4-nano-dspark/config.json"), "nano").value();
  const std::vector<std::vector<int32_t>> prompts = {{1, 2, 3}, std::vector<int32_t>(40, 5)};
  GenerateOptions options;
  options.concurrency = 64;
  options.max_tokens = 10;
  const auto adaptive = engine_options(options, config, prompts);
  ASSERT_TRUE(adaptive) << adaptive.error().message;
  EXPECT_EQ(adaptive->tree_nodes, 0);
  EXPECT_EQ(adaptive->context, 50);
  EXPECT_GE(adaptive->batch_rows, 64 * 4);
  // Whole pages for each, and one to grow into.
  EXPECT_GE(adaptive->cache_tokens, 64 * (kPageTokens + kPageTokens));
  options.acceptance = "rejection";
  options.selection = "two-step";
  const scheduler::CostModel costs(8, 8, 1.0);
  const auto selection = engine_options(options, config, prompts)->make_selection(costs);
  EXPECT_NE(dynamic_cast<const TwoStepSelection*>(selection.get()), nullptr);
  // The scheduler's own selection is not exact under rejection, so the paper's first one takes its place.
  options.selection = "global";
  const auto replaced = engine_options(options, config, prompts)->make_selection(costs);
  EXPECT_NE(dynamic_cast<const StepwiseSelection*>(replaced.get()), nullptr);
  struct Case {
    const char* acceptance;
    const char* selection;
    const char* part;
  };
  for (const Case& c :
       {Case{"maybe", "global", "acceptance is \"maybe\""}, Case{"coupled", "best", "selection is \"best\""},
        Case{"coupled", "stepwise", "for acceptance rejection only"}}) {
    options.acceptance = c.acceptance;
    options.selection = c.selection;
    const auto refused = engine_options(options, config, prompts);
    ASSERT_FALSE(refused) << c.part;
    EXPECT_NE(refused.error().message.find(c.part), std::string::npos) << refused.error().message;
  }
}

}  // namespace
}  // namespace ft::eval
