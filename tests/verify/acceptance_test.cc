// Following the target through a tree, and where a request ends, by table.
#include "verify/acceptance.h"

#include <gtest/gtest.h>

namespace ft::verify {
namespace {

using Tokens = std::vector<int32_t>;

// 0 -> 1 (7) -> 3 (9) -> 5 (1); 0 -> 2 (8) -> 4 (9)
TokenTree example() {
  TokenTree tree;
  tree.start(5);
  tree.add(7, 0, 0.6f);
  tree.add(8, 0, 0.3f);
  tree.add(9, 1, 0.5f);
  tree.add(9, 2, 0.3f);
  tree.add(1, 3, 0.2f);
  return tree;
}

TEST(Accept, FollowsTheTarget) {
  const struct {
    const char* name;
    Tokens target;
    Tokens path;
    int32_t bonus;
  } cases[] = {
      {"nothing drafted right", {3, 9, 9, 1, 0, 2}, {0}, 3},
      {"first branch, one deep", {7, 2, 9, 1, 0, 2}, {0, 1}, 2},
      {"first branch to its leaf", {7, 9, 9, 1, 0, 2}, {0, 1, 3, 5}, 2},
      {"second branch: its own 9", {8, 0, 9, 1, 6, 2}, {0, 2, 4}, 6},
      {"a right grandchild under a wrong child does not count", {6, 9, 9, 1, 0, 2}, {0}, 6},
      {"a child of another node is not a child", {9, 9, 9, 1, 0, 2}, {0}, 9},
  };
  for (const auto& c : cases) {
    const Accepted accepted = accept(example(), c.target);
    EXPECT_EQ(accepted.path, c.path) << c.name;
    EXPECT_EQ(accepted.bonus, c.bonus) << c.name;
  }
}

TEST(Accept, OneNodeIsPlainDecoding) {
  TokenTree tree;
  tree.start(5);
  const Accepted accepted = accept(tree, Tokens{4});
  EXPECT_EQ(accepted.path, Tokens{0});
  EXPECT_EQ(accepted.bonus, 4);
}

TEST(AcceptDeathTest, NeedsOneTargetPerNode) {
  EXPECT_DEATH(accept(example(), Tokens{1, 2}), "target_token");
  EXPECT_DEATH(accept(TokenTree{}, Tokens{}), "tree.size");
}

TEST(StopRule, FinishesAtAStopOrAtTheLastToken) {
  const Tokens end = {1};
  const StopRule rule{.end_tokens = end, .tokens_left = 3};
  EXPECT_EQ(rule.finish_after(5, 2), FinishReason::kNone);
  EXPECT_EQ(rule.finish_after(5, 3), FinishReason::kLength);
  EXPECT_EQ(rule.finish_after(1, 2), FinishReason::kStop);
  EXPECT_EQ(rule.finish_after(1, 3), FinishReason::kStop);
}

TEST(Truncate, CutsAtTheFirstEnd) {
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
      {"nothing left", {5}, 0, false, 0, FinishReason::kLength},
      {"nothing emitted", {}, 3, false, 0, FinishReason::kNone},
  };
  for (const auto& c : cases) {
    const StopRule rule{
        .end_tokens = end, .stop_tokens = stops, .ignore_eos = c.ignore_eos, .tokens_left = c.left};
    const Truncated truncated = truncate(c.emitted, rule);
    EXPECT_EQ(truncated.kept, c.kept) << c.name;
    EXPECT_EQ(truncated.reason, c.reason) << c.name;
  }
}

}  // namespace
}  // namespace ft::verify
