#include "eval/bench_scheduler.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ft::eval {
namespace {

int64_t g_allocations = 0;
// A counter of allocations that sees one more at every call.
int64_t one_more() {
  return g_allocations++;
}

TEST(BenchScheduler, RunsEveryPartAndReportsIt) {
  BenchSchedulerOptions options;
  options.requests = 4;
  options.candidates = 8;
  options.steps = 50;
  options.allocations = one_more;
  const auto result = bench_scheduler(options);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_GT(result->p50_us, 0.0);
  EXPECT_GE(result->p99_us, result->p50_us);
  EXPECT_DOUBLE_EQ(result->allocations_per_step, 1.0 / 50);
  // Drafts that are right four times in five are worth verifying, and some of them stand.
  EXPECT_GT(result->kept_per_request, 1.0);
  EXPECT_LE(result->kept_per_request, 8.0);
  EXPECT_GT(result->accepted_per_request, 1.0);
  EXPECT_LT(result->accepted_per_request, 5.0);
  const auto json = nlohmann::json::parse(bench_scheduler_report(options, *result).json());
  EXPECT_EQ(json["us_per_step_p50"], result->p50_us);
  EXPECT_EQ(json["us_per_step_p99"], result->p99_us);
  EXPECT_EQ(json["allocations_per_step"], result->allocations_per_step);
  EXPECT_EQ(json["requests"], 4);
  EXPECT_EQ(json["candidates"], 8);
  EXPECT_EQ(json["steps"], 50);
  for (const char* part : kSchedulerParts) EXPECT_TRUE(json["parts_us_p50"].contains(part)) << part;
}

TEST(BenchScheduler, IsTheSameButForTheTimes) {
  BenchSchedulerOptions options;
  options.requests = 3;
  options.steps = 20;
  const auto a = bench_scheduler(options);
  const auto b = bench_scheduler(options);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->kept_per_request, b->kept_per_request);
  EXPECT_EQ(a->accepted_per_request, b->accepted_per_request);
  EXPECT_TRUE(
      nlohmann::json::parse(bench_scheduler_report(options, *a).json())["allocations_per_step"].is_null());
}

TEST(BenchScheduler, RefusesNothingToDo) {
  BenchSchedulerOptions options;
  options.candidates = 0;
  const auto result = bench_scheduler(options);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("candidates 0"), std::string::npos) << result.error().message;
}

}  // namespace
}  // namespace ft::eval
