#include "eval/quality/checks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/logits_command.h"
#include "eval/quality/command.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

TEST(QualityChecks, CountTokensThatDiffer) {
  const TokenComparison same = compare_tokens({{1, 2, 3}, {4}}, {{1, 2, 3}, {4}});
  EXPECT_EQ(same.tokens, 4);
  EXPECT_EQ(same.differ, 0);
  const TokenComparison other = compare_tokens({{1, 2, 3}, {4}}, {{1, 9}, {4, 5, 6}});
  EXPECT_EQ(other.tokens, 6);
  EXPECT_EQ(other.differ, 1 + 1 + 2);
}

TEST(QualityChecks, CountAnswersByDomain) {
  const std::vector<Prompt> prompts = {{{1}, "a", "42"}, {{1}, "b", "no"}, {{1}, "a", "7"}, {{1}, "c", ""}};
  const Json figures = answer_figures(prompts, {"It is 42.", "yes", "8", ""}, 1);
  ASSERT_EQ(figures.size(), 3u);  // nobody knows the answer of c
  EXPECT_EQ(figures[0]["domain"], "a");
  EXPECT_EQ(figures[0]["right"], 1.0);
  EXPECT_EQ(figures[1]["domain"], "all");
  EXPECT_EQ(figures[1]["questions"], 3);
  EXPECT_NEAR(figures[1]["rate"]["value"].get<double>(), 1.0 / 3.0, 1e-12);
}

TEST(QualityChecks, PerplexityIsTheMeanOverTokens) {
  const std::vector<SequenceScore> scores = {{2.0, 1}, {4.0, 5}};
  const Json figures = perplexity_figures("t", scores, 1);
  EXPECT_EQ(figures["tokens"], 6);
  EXPECT_DOUBLE_EQ(figures["perplexity"], std::exp(1.0));
}

TEST(QualityCommand, ComparesSettingsAndLogitsOfTheNanoModel) {
  const TempDir directory;
  QualityOptions options;
  options.session.model = FT_MODELS "/v4-nano-dspark";
  options.session.backend = "cpu";
  options.session.cpu.threads = 1;
  options.prompts = FT_TEST_DATA "/nano/eval_qa.jsonl";
  options.prompts_max = 4;
  options.max_tokens = 16;
  options.settings = {"auto/6/4"};
  options.golden_tokens = directory.write("tokens", "[[0, 4, 350, 292]]");
  options.golden_logits = directory.file("logits.safetensors");
  ASSERT_TRUE(run_logits({options.session, options.golden_tokens, options.golden_logits, 128}));
  bool same = false;
  const auto result = run_quality_checks(options, nullptr, &same);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(same);
  const Json& checks = result->figures["checks"];
  EXPECT_GT(checks["same_tokens"][0]["tokens"].get<int64_t>(), 10);
  EXPECT_EQ(checks["goldens"]["positions"], 4);
  EXPECT_EQ(checks["goldens"]["largest_difference"], 0.0);
  EXPECT_EQ(checks["goldens"]["same_first_choice"], 1.0);
  // A model of 2,048 tokens that knows nothing would have nats of 7.6.
  EXPECT_LT(checks["perplexity"]["nats"]["value"].get<double>(), 6.0);
  options.settings = {"auto/6"};
  EXPECT_EQ(run_quality_checks(options, nullptr, &same).error().message,
            "setting \"auto/6\": expected drafter/rows/concurrency, as in dspark/6/8 or auto/adaptive/1");
}

}  // namespace
}  // namespace ft::eval
