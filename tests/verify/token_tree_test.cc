// Building and checking trees.
#include "verify/token_tree.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

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
  std::vector<int32_t> depths, parents;
  for (const TokenTree::Node& node : tree.nodes) {
    depths.push_back(node.depth);
    parents.push_back(node.parent);
  }
  EXPECT_EQ(depths, (std::vector<int32_t>{0, 1, 1, 2, 2}));
  EXPECT_EQ(parents, (std::vector<int32_t>{-1, 0, 0, 1, 2}));
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

// Random trees, each built in the memory of the one before: finding a child by the links agrees with scanning
// all nodes for their parents.
TEST(TokenTree, ChildrenAreFoundUnderTheirParentOnly) {
  std::mt19937_64 rng(3);
  TokenTree tree;
  for (int32_t nodes = 1; nodes < 60; ++nodes) {
    tree.start(0);
    while (tree.size() < nodes) {
      const int32_t parent = static_cast<int32_t>(rng() % static_cast<uint64_t>(tree.size()));
      const int32_t token = static_cast<int32_t>(rng() % 20);
      if (tree.child(parent, token) == -1) tree.add(token, parent, 0.0f);
    }
    ASSERT_TRUE(validate(tree, 20).has_value()) << nodes;
    for (int32_t node = 0; node < tree.size(); ++node) {
      for (int32_t token = 0; token < 20; ++token) {
        int32_t expected = -1;
        for (int32_t i = 1; i < tree.size(); ++i)
          if (tree[i].parent == node && tree[i].token == token) expected = i;
        ASSERT_EQ(tree.child(node, token), expected) << node << " " << token;
      }
    }
  }
}

TEST(TokenTree, ValidateNamesTheBrokenRule) {
  const struct {
    std::function<void(TokenTree&)> change;
    const char* message;
  } cases[] = {
      {[](auto& t) { t.clear(); }, "tree without an anchor"},
      {[](auto& t) { t.nodes[0].parent = 0; },
       "tree node 0: an anchor with parent 0, depth 0, probability 1"},
      {[](auto& t) { t.nodes[0].path_probability = 0.5f; },
       "tree node 0: an anchor with parent -1, depth 0, probability 0.5"},
      {[](auto& t) { t.nodes[3].token = 10; }, "tree node 3: token 10 outside [0, 10)"},
      {[](auto& t) { t.nodes[3].token = -1; }, "tree node 3: token -1 outside [0, 10)"},
      {[](auto& t) { t.nodes[2].parent = 2; }, "tree node 2: parent 2 does not come before it"},
      {[](auto& t) { t.nodes[2].parent = -1; }, "tree node 2: parent -1 does not come before it"},
      {[](auto& t) { t.nodes[4].depth = 1; }, "tree node 4: depth 1 under a parent of depth 1"},
      {[](auto& t) { t.nodes[3].path_probability = 0.7f; },
       "tree node 3: path probability 0.7 under a parent's 0.6"},
      {[](auto& t) { t.nodes[3].path_probability = -0.1f; },
       "tree node 3: path probability -0.1 under a parent's 0.6"},
      {[](auto& t) { t.nodes[2].token = 7; }, "tree node 2: token 7 twice under parent 0"},
      {[](auto& t) { t.nodes[0].first_child = 2; },
       "tree node 0: links to children 2 to 2 and sibling -1, by their parents 1 to 2 and -1"},
      {[](auto& t) { t.nodes[0].last_child = 1; },
       "tree node 0: links to children 1 to 1 and sibling -1, by their parents 1 to 2 and -1"},
      {[](auto& t) { t.nodes[1].next_sibling = -1; },
       "tree node 1: links to children 3 to 3 and sibling -1, by their parents 3 to 3 and 2"},
      {[](auto& t) { t.nodes[4].next_sibling = 3; },
       "tree node 4: links to children -1 to -1 and sibling 3, by their parents -1 to -1 and -1"},
      {[](auto& t) {
         t.nodes[4].parent = 1;
         t.nodes[4].token = 6;
       },
       "tree node 1: links to children 3 to 3 and sibling 2, by their parents 3 to 4 and 2"},
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
  EXPECT_DEATH(tree.add(1, 5, 0.1f), "parent");
  EXPECT_DEATH(tree.add(1, -1, 0.1f), "parent");
}

}  // namespace
}  // namespace ft::verify
