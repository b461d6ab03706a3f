#include "eval/accept_figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "eval/accept_command.h"

namespace ft::eval {
namespace {

scheduler::RequestReport report(int64_t completion_tokens, int64_t steps, int64_t drafted,
                                std::vector<int64_t> accepted_at_depth) {
  scheduler::RequestReport made;
  made.completion_tokens = completion_tokens;
  made.steps = steps;
  made.drafted = drafted;
  for (size_t i = 0; i < accepted_at_depth.size(); ++i) made.accepted_at_depth[i] = accepted_at_depth[i];
  return made;
}

TEST(AcceptFigures, WeighsByRequestAndByStep) {
  std::vector<AcceptCounts> prompts(3);
  // One request emits 12 tokens in 4 steps, the other 6 in 6. The first token of each comes from its prompt.
  prompts[0].add(report(13, 4, 20, {4, 3, 1}));
  prompts[1].add(report(7, 6, 6, {}));
  // A request that ends with its first token has no step.
  prompts[2].add(report(1, 0, 0, {}));
  const AcceptFigures figures = accept_figures(prompts, 1);
  EXPECT_EQ(figures.requests, 2);
  EXPECT_EQ(figures.steps, 10);
  EXPECT_DOUBLE_EQ(figures.request_weighted.value, (3.0 + 1.0) / 2);
  EXPECT_DOUBLE_EQ(figures.token_weighted.value, 18.0 / 10);
  EXPECT_DOUBLE_EQ(figures.rows_per_step, 1.0 + 26.0 / 10);
  ASSERT_EQ(figures.unconditional.size(), 3u);
  EXPECT_DOUBLE_EQ(figures.unconditional[1], 3.0 / 10);
  EXPECT_DOUBLE_EQ(figures.conditional[0], 4.0 / 10);
  EXPECT_DOUBLE_EQ(figures.conditional[1], 3.0 / 4);
  EXPECT_DOUBLE_EQ(figures.conditional[2], 1.0 / 3);
}

TEST(AcceptFigures, ComparesArmsPromptByPrompt) {
  std::vector<AcceptCounts> base(20);
  std::vector<AcceptCounts> better(20);
  for (int64_t i = 0; i < 20; ++i) {
    const int64_t steps = 10 + i;
    base[static_cast<size_t>(i)].add(report(1 + steps, steps, 0, {}));
    better[static_cast<size_t>(i)].add(report(1 + 2 * steps, steps, 0, {}));
  }
  const LengthRatio ratio = length_ratio(better, base, 1);
  for (const Interval& interval : {ratio.request_weighted, ratio.token_weighted}) {
    EXPECT_DOUBLE_EQ(interval.value, 2.0);
    EXPECT_DOUBLE_EQ(interval.low, 2.0);
    EXPECT_DOUBLE_EQ(interval.high, 2.0);
  }
  EXPECT_DOUBLE_EQ(length_ratio(base, base, 1).token_weighted.high, 1.0);
}

TEST(AcceptArms, VerifyAsManyRowsAsTheChainAndAtMostTwiceAsMany) {
  const std::vector<AcceptArm> arms = accept_arms(5);
  ASSERT_EQ(arms.size(), 5u);
  EXPECT_EQ(arms[0].acceptance, scheduler::Acceptance::kRejection);
  EXPECT_EQ(arms[0].shape, draft::TreeShape::kChain);
  std::vector<int32_t> rows;
  for (const AcceptArm& arm : arms) rows.push_back(arm.rows);
  EXPECT_EQ(rows, (std::vector<int32_t>{6, 6, 6, 12, 0}));
  for (size_t i = 1; i < arms.size(); ++i) EXPECT_EQ(arms[i].acceptance, scheduler::Acceptance::kCoupled);
}

TEST(AcceptReport, SaysTheSameInEveryForm) {
  AcceptReport report_data;
  report_data.drafter = "dspark";
  report_data.baseline = "chain";
  std::vector<AcceptCounts> prompts(1);
  prompts[0].add(report(9, 4, 20, {3, 1}));
  report_data.lines.push_back(
      {"all", 0.7, "chain", accept_figures(prompts, 1), length_ratio(prompts, prompts, 1)});
  report_data.calibration.push_back({.arm = "chain",
                                     .temperatures = "0.5-0.85",
                                     .depth = 1,
                                     .after_steps = 2100,
                                     .predictions = 100.0,
                                     .ece = 0.015,
                                     .noise = 0.0125,
                                     .brier = 0.1,
                                     .auc = 0.9,
                                     .second_choice_rate = 0.4});
  const auto json = nlohmann::json::parse(accept_json(report_data));
  const auto& line = json["lines"][0];
  EXPECT_EQ(line["mean_accepted_length_token_weighted"]["value"], 2.0);
  EXPECT_EQ(line["ratio_token_weighted"]["high"], 1.0);
  EXPECT_EQ(line["acceptance_per_depth_conditional"][1], 1.0 / 3);
  EXPECT_EQ(json["calibration"][0]["s2"], 0.4);
  const std::string markdown = accept_markdown(report_data);
  EXPECT_NE(markdown.find("| all | 0.7 | chain | 1 | 4 | 2.000 (2.000 to 2.000) |"), std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| 0.7 | chain | 0.750/0.750 0.250/0.333 |"), std::string::npos) << markdown;
  EXPECT_EQ(json["calibration"][0]["noise"], 0.0125);
  EXPECT_EQ(json["calibration"][0]["after_steps"], 2100);
  EXPECT_NE(markdown.find("| 2100 | 100 | 1.50 % | 1.25 % |"), std::string::npos) << markdown;
  const std::string csv = accept_csv(report_data);
  const size_t header_end = csv.find('\n');
  EXPECT_EQ(std::count(csv.begin(), csv.begin() + static_cast<std::ptrdiff_t>(header_end), ','),
            std::count(csv.begin() + static_cast<std::ptrdiff_t>(header_end), csv.end(), ','));
}

}  // namespace
}  // namespace ft::eval
