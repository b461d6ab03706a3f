#include "eval/simulate/deployment.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/simulate/studies.h"

namespace ft::eval {
namespace {

// Steps of 10 ms and 0.1 ms a row; drafts are right with these chances.
Deployment example(const std::vector<double>& rates) {
  std::vector<DepthRates> depths;
  for (const double rate : rates) depths.push_back({rate, 0.5, 0.0});
  Deployment deployment{
      {"test", {}, {static_cast<int>(rates.size()), static_cast<int>(rates.size())}},
      StepCosts({{0.0, 10e-3}, {100.0, 20e-3}}, 0.1e-3, 0.0, {{1.0, 1e-3}, {2.0, 1e-3}}, 0.0),
      AcceptanceSource({{"d", 1.0, depths}}, 1.0),
      {},
      1};
  deployment.replica.requests_max = 8;
  deployment.replica.shape = draft::TreeShape::kChain;
  return deployment;
}

TEST(SimulatedDeployment, AcceptsAsOftenAsItIsTold) {
  Deployment deployment = example({0.8, 0.7, 0.6});
  deployment.replica.tree_nodes = 4;
  ClosedLoop loop;
  loop.users = 8;
  loop.steps = 4000;
  const ClosedLoopFigures figures = run_closed_loop(deployment, loop, 1);
  // Requests that end in the middle of a draft cost a little.
  EXPECT_NEAR(figures.accepted_length, 1.0 + 0.8 + 0.8 * 0.7 + 0.8 * 0.7 * 0.6, 0.04);
  EXPECT_NEAR(figures.rows_per_request, 4.0, 0.03);
  // 8 requests of 4 rows: 10 + 3.2 ms and a draft of 1 ms.
  EXPECT_NEAR(figures.step_seconds, 14.2e-3, 0.1e-3);
}

TEST(SimulatedDeployment, TreesTakeTheSecondChoiceToo) {
  Deployment deployment = example({0.6});
  deployment.replica.shape = draft::TreeShape::kBestFirst;
  deployment.replica.tree_nodes = 3;
  ClosedLoop loop;
  loop.steps = 4000;
  // Two children of the anchor: right with 0.6, or else with 0.5.
  EXPECT_NEAR(run_closed_loop(deployment, loop, 1).accepted_length, 1.0 + 0.6 + 0.4 * 0.5, 0.04);
}

TEST(SimulatedDeployment, IsTheSameForTheSameSeed) {
  const Deployment deployment = example({0.8, 0.7});
  std::vector<VirtualRequest> requests;
  for (int i = 0; i < 40; ++i) requests.push_back({0.02 * i, 20, 30, 0});
  const auto figures = [&](uint64_t seed) {
    return load_figures_json(run_open_loop(deployment, requests, seed), {});
  };
  EXPECT_EQ(figures(1), figures(1));
  EXPECT_NE(figures(1), figures(2));
}

TEST(SimulatedDeployment, TimesOneRequestAsItsCostsSay) {
  Deployment deployment = example({0.5});
  deployment.model.depth = {};
  deployment.replica.tree_nodes = 1;
  const std::vector<VirtualRequest> requests = {{1.0, 21, 5, 0}};
  const std::vector<LoadRequest> done = run_open_loop(deployment, requests, 1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].completion_tokens, 5);
  // 20 rows are read and the last one verified; then four steps of one row.
  EXPECT_NEAR(done[0].ttft(), 10.1e-3 + 20 * 0.1e-3, 1e-9);
  EXPECT_NEAR(done[0].tpot(), 10.1e-3, 1e-9);
}

TEST(SimulatedDeployment, SharesRequestsAmongReplicas) {
  Deployment deployment = example({0.8});
  std::vector<VirtualRequest> requests(64, {0.0, 1, 50, 0});
  const auto seconds = [&](int32_t replicas) {
    deployment.replicas = replicas;
    return load_figures_json(run_open_loop(deployment, requests, 1), {})["seconds"].get<double>();
  };
  // 8 at a time: eight rounds on one replica, one on eight.
  EXPECT_NEAR(seconds(1) / seconds(8), 8.0, 1.2);
}

TEST(SimulatedDeployment, WaitsForMemory) {
  Deployment deployment = example({0.8});
  deployment.replica.tokens_max = 300;  // two requests of a page of 128
  std::vector<VirtualRequest> requests(6, {0.0, 10, 60, 0});
  const std::vector<LoadRequest> done = run_open_loop(deployment, requests, 1);
  ASSERT_EQ(done.size(), 6u);
  for (const LoadRequest& request : done) EXPECT_EQ(request.error, "");
  EXPECT_GT(done.back().ttft(), done.front().total());
}

TEST(SimulatedDeployment, PricesDistinctExperts) {
  const ExpertLaw law{43.0, 256.0, 6.0, 0.5};
  EXPECT_NEAR(law.distinct(1.0, 0.0) / 43.0, 6.0, 1e-9);
  // dspark.md 3.4: 6, 11.9, 17.6 for independent rows.
  EXPECT_NEAR(law.distinct(2.0, 0.0) / 43.0, 11.86, 0.01);
  EXPECT_NEAR(law.distinct(3.0, 0.0) / 43.0, 17.58, 0.01);
  EXPECT_LT(law.distinct(1.0, 2.0), law.distinct(3.0, 0.0));
}

TEST(SimulatedStudies, CompareAtTheSameThroughput) {
  const std::vector<MatchedGain> gains =
      matched_gains({{10.0, 5.0}, {100.0, 1.0}}, {{0.0, 10.0}, {20.0, 6.0}});
  ASSERT_EQ(gains.size(), 1u);  // the arm does not reach the second point
  EXPECT_DOUBLE_EQ(gains[0].per_user, 8.0);
  EXPECT_DOUBLE_EQ(gains[0].gain, 0.6);
  // Between two speeds of the baseline, and beyond them.
  const std::vector<MatchedGain> points = {{{1.0, 100.0}, 0.0, 0.8}, {{2.0, 50.0}, 0.0, 0.4}};
  EXPECT_DOUBLE_EQ(gain_at_speed(points, 75.0), 0.6);
  EXPECT_DOUBLE_EQ(gain_at_speed(points, 200.0), 0.8);
  EXPECT_DOUBLE_EQ(gain_at_speed(points, 10.0), 0.4);
}

}  // namespace
}  // namespace ft::eval
