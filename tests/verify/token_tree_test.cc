// Building and checking trees.
#include "verify/token_tree.h"

#include <gtest/gtest.h>

#include <functional>

namespace ft::verify {
namespace {

// 0 -> 1 (7) -> 3 (9); 0 -> 2 (8) -> 4 (9)
TokenTree example() {
  TokenTree tree;
  tree.start(5);
  tree.add(7, 0, 0.6f);
  tree.add(8, 0, 0.3f);
  tree.add(9, 1, 0.5f);
  tree.add(9, 2, 0.3f);
  return tree;
}

TEST(TokenTree, AddKeepsDepthAndFindsChildren) {
  const TokenTree tree = example();
  EXPECT_EQ(tree.size(), 5);
  EXPECT_EQ(tree.depth, (std::vector<int32_t>{0, 1, 1, 2, 2}));
  EXPECT_EQ(tree.parent, (std::vector<int32_t>{-1, 0, 0, 1, 2}));
  EXPECT_EQ(tree.child(0, 8), 2);
  EXPECT_EQ(tree.child(1, 9), 3);
  EXPECT_EQ(tree.child(2, 9), 4);
  EXPECT_EQ(tree.child(0, 9), -1);
  EXPECT_EQ(tree.child(4, 9), -1);
  EXPECT_TRUE(validate(tree, 10).has_value());
  TokenTree again = tree;
  again.start(1);
  EXPECT_EQ(again.size(), 1);
  EXPECT_TRUE(validate(again, 10).has_value());
}

TEST(TokenTree, ValidateNamesTheBrokenRule) {
  const struct {
    std::function<void(TokenTree&)> change;
    const char* message;
  } cases[] = {
      {[](auto& t) { t.clear(); }, "tree has 0 tokens, 0 parents, 0 depths, 0 probabilities"},
      {[](auto& t) { t.depth.pop_back(); }, "tree has 5 tokens, 5 parents, 4 depths, 5 probabilities"},
      {[](auto& t) { t.parent[0] = 0; }, "tree node 0: an anchor with parent 0, depth 0, probability 1"},
      {[](auto& t) { t.path_probability[0] = 0.5f; },
       "tree node 0: an anchor with parent -1, depth 0, probability 0.5"},
      {[](auto& t) { t.token[3] = 10; }, "tree node 3: token 10 outside [0, 10)"},
      {[](auto& t) { t.token[3] = -1; }, "tree node 3: token -1 outside [0, 10)"},
      {[](auto& t) { t.parent[2] = 2; }, "tree node 2: parent 2 does not come before it"},
      {[](auto& t) { t.parent[2] = -1; }, "tree node 2: parent -1 does not come before it"},
      {[](auto& t) { t.depth[4] = 1; }, "tree node 4: depth 1 under a parent of depth 1"},
      {[](auto& t) { t.path_probability[3] = 0.7f; },
       "tree node 3: path probability 0.7 under a parent's 0.6"},
      {[](auto& t) { t.path_probability[3] = -0.1f; },
       "tree node 3: path probability -0.1 under a parent's 0.6"},
      {[](auto& t) { t.token[2] = 7; }, "tree node 2: token 7 twice under parent 0"},
  };
  for (const auto& c : cases) {
    TokenTree tree = example();
    c.change(tree);
    const Result<void> result = validate(tree, 10);
    ASSERT_FALSE(result.has_value()) << c.message;
    EXPECT_EQ(result.error().message, c.message);
  }
}

TEST(TokenTreeDeathTest, AddNeedsAnExistingParent) {
  TokenTree tree = example();
  EXPECT_DEATH(tree.add(1, 5, 0.1f), "parent_node");
  EXPECT_DEATH(tree.add(1, -1, 0.1f), "parent_node");
}

}  // namespace
}  // namespace ft::verify
