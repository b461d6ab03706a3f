// Where a request ends, by table.
#include "verify/acceptance.h"

#include <gtest/gtest.h>

#include <vector>

namespace ft::verify {
namespace {

using Tokens = std::vector<int32_t>;

TEST(StopRule, FinishesAtAStopOrAtTheLastToken) {
  const Tokens end = {1};
  const StopRule rule{.end_tokens = end, .tokens_left = 3};
  EXPECT_EQ(rule.finish_after(5, 2), FinishReason::kNone);
  EXPECT_EQ(rule.finish_after(5, 3), FinishReason::kLength);
  EXPECT_EQ(rule.finish_after(1, 2), FinishReason::kStop);
  EXPECT_EQ(rule.finish_after(1, 3), FinishReason::kStop);
}

TEST(StopRule, TheFirstEndOfAStepIsWhereTheRequestEnds) {
  const Tokens end = {1};
  const Tokens stops = {20, 21};
  const struct {
    const char* name;
    Tokens emitted;
    int64_t left;
    bool ignore_eos;
    int64_t kept;
    FinishReason reason;
  } cases[] = {
      {"nothing ends", {5, 6, 7}, 10, false, 3, FinishReason::kNone},
      {"end token last", {5, 6, 1}, 10, false, 3, FinishReason::kStop},
      {"end token inside", {5, 1, 7}, 10, false, 2, FinishReason::kStop},
      {"end token first", {1, 1, 7}, 10, false, 1, FinishReason::kStop},
      {"request's stop token", {5, 21, 20}, 10, false, 2, FinishReason::kStop},
      {"ignored end token", {5, 1, 7}, 10, true, 3, FinishReason::kNone},
      {"the request's stop tokens are never ignored", {1, 20, 7}, 10, true, 2, FinishReason::kStop},
      {"length inside", {5, 6, 7}, 2, false, 2, FinishReason::kLength},
      {"length exactly", {5, 6, 7}, 3, false, 3, FinishReason::kLength},
      {"one short of length", {5, 6, 7}, 4, false, 3, FinishReason::kNone},
      {"stop after length is never seen", {5, 6, 1}, 2, false, 2, FinishReason::kLength},
      {"stop at the last allowed place is a stop", {5, 1, 7}, 2, false, 2, FinishReason::kStop},
      {"nothing emitted", {}, 3, false, 0, FinishReason::kNone},
  };
  for (const auto& c : cases) {
    const StopRule rule{
        .end_tokens = end, .stop_tokens = stops, .ignore_eos = c.ignore_eos, .tokens_left = c.left};
    int64_t kept = 0;
    FinishReason reason = FinishReason::kNone;
    while (kept < std::ssize(c.emitted) && reason == FinishReason::kNone) {
      reason = rule.finish_after(c.emitted[static_cast<size_t>(kept)], kept + 1);
      ++kept;
    }
    EXPECT_EQ(kept, c.kept) << c.name;
    EXPECT_EQ(reason, c.reason) << c.name;
  }
}

}  // namespace
}  // namespace ft::verify
