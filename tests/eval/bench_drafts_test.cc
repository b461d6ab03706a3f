// The benchmarks of sources of drafts, on few requests: what they print is there, and their arms agree.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/bench_prediction.h"
#include "eval/bench_structured.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

BenchDraftsOptions small(const TempDir& dir) {
  std::ofstream(dir.path() + "/prompts.jsonl")
      << R"({"messages": [{"role": "user", "content": "What is the capital of Italy?"}], "thinking": false})"
      << "\n";
  BenchDraftsOptions options;
  options.session.model = FT_MODELS "/v4-nano-dspark";
  options.session.backend = "cpu";
  options.prompts = dir.path() + "/prompts.jsonl";
  options.max_tokens = 60;
  options.rounds = 1;
  options.json = dir.path() + "/out.json";
  return options;
}

nlohmann::json arms_of(const BenchDraftsOptions& options) {
  return nlohmann::json::parse(std::ifstream(options.json))["arms"];
}

TEST(BenchStructured, CountsForcedTokensWhereTheGrammarDrafts) {
  const TempDir dir;
  BenchStructuredOptions options{small(dir), dir.path() + "/schema.json"};
  std::ofstream(options.schema) << R"({"const": {"name of the city": "Rome", "country": "Italy"}})";
  std::FILE* out = std::tmpfile();
  const auto done = run_bench_structured(options, out);
  std::fclose(out);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  const nlohmann::json arms = arms_of(options.drafts);
  ASSERT_EQ(arms.size(), 4u);
  EXPECT_EQ(arms[0]["steps_per_token"], 1.0);
  EXPECT_EQ(arms[1]["forced_per_token"], 0.0);
  for (const size_t bound : {2, 3}) {
    EXPECT_GT(arms[bound]["forced_per_token"], 0.5);
    EXPECT_LT(arms[bound]["steps_per_token"], 0.5);
  }
}

TEST(BenchPrediction, APredictionThatIsMostlyRightCutsSteps) {
  const TempDir dir;
  BenchPredictionOptions options{small(dir), 0.9};
  options.drafts.drafter = "ngram";
  std::FILE* out = std::tmpfile();
  const auto done = run_bench_prediction(options, out);
  std::fclose(out);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  const nlohmann::json arms = arms_of(options.drafts);
  ASSERT_EQ(arms.size(), 3u);
  EXPECT_LT(arms[2]["steps"].get<double>(), 0.6 * arms[0]["steps"].get<double>());
}

TEST(BenchPrediction, AltersAsManyTokensAsItSays) {
  std::vector<int32_t> tokens(5000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  EXPECT_EQ(alter(tokens, 1.0, 5000, 1), tokens);
  const std::vector<int32_t> altered = alter(tokens, 0.9, 5000, 1);
  int64_t kept = 0;
  for (size_t i = 0, k = 0; i < altered.size(); ++i)
    for (size_t j = k; j < std::min(k + 8, tokens.size()); ++j)
      if (altered[i] == tokens[j]) {
        ++kept;
        k = j + 1;
        break;
      }
  EXPECT_NEAR(static_cast<double>(kept) / 5000.0, 0.93, 0.02)
      << "a third of the changes puts one in and loses none";
}

}  // namespace
}  // namespace ft::eval
