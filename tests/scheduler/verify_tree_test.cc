#include "scheduler/speculation/verify_tree.h"

#include <gtest/gtest.h>

namespace ft::scheduler {
namespace {

draft::DraftNode drafted(int32_t token, int32_t parent, uint8_t depth) {
  draft::DraftNode node;
  node.token = token;
  node.parent = parent;
  node.depth = depth;
  return node;
}

// 10 and 11 behind the anchor, 20 and 21 behind 10, 30 behind 21.
const std::vector<draft::DraftNode> kNodes = {drafted(10, -1, 1), drafted(11, -1, 1), drafted(20, 0, 2),
                                              drafted(21, 0, 2), drafted(30, 3, 3)};
const std::vector<float> kProbability = {0.6f, 0.3f, 0.25f, 0.2f, 0.1f};

TEST(KeptTree, HasTheAnchorAndTheKeptNodesBehindTheirParents) {
  std::vector<int32_t> places;
  verify::TokenTree tree;
  build_verify_tree(5, kNodes, kProbability, std::vector<int32_t>{0, 1, 3, 4}, places, tree);
  ASSERT_EQ(tree.size(), 5);
  ASSERT_TRUE(verify::validate(tree, 100).has_value());
  EXPECT_EQ(tree[0].token, 5);
  const int32_t tokens[] = {10, 11, 21, 30};
  const int32_t parents[] = {0, 0, 1, 3};
  const float probability[] = {0.6f, 0.3f, 0.2f, 0.1f};
  for (int32_t i = 1; i < tree.size(); ++i) {
    EXPECT_EQ(tree[i].token, tokens[i - 1]) << i;
    EXPECT_EQ(tree[i].parent, parents[i - 1]) << i;
    EXPECT_EQ(tree[i].path_probability, probability[i - 1]) << i;
  }
}

// Nothing of an earlier tree stays in its memory, whatever its shape was.
TEST(KeptTree, IsTheSameInMemoryThatHeldAnother) {
  const std::vector<std::vector<int32_t>> choices = {{0, 1, 2, 3, 4}, {1},       {0, 2},
                                                     {0, 1, 3, 4},    {0, 3, 4}, {}};
  for (const std::vector<int32_t>& before : choices)
    for (const std::vector<int32_t>& kept : choices) {
      std::vector<int32_t> places;
      verify::TokenTree tree;
      build_verify_tree(4, kNodes, kProbability, before, places, tree);
      build_verify_tree(5, kNodes, kProbability, kept, places, tree);
      ASSERT_EQ(tree.size(), static_cast<int32_t>(kept.size()) + 1);
      const auto valid = verify::validate(tree, 100);
      ASSERT_TRUE(valid.has_value()) << valid.error().message;
      EXPECT_EQ(tree[0].token, 5);
      for (size_t i = 0; i < kept.size(); ++i)
        EXPECT_EQ(tree[static_cast<int64_t>(i) + 1].token, kNodes[static_cast<size_t>(kept[i])].token);
    }
}

TEST(KeptTree, IsTheAnchorAloneWhereNothingIsKeptAndForgetsWhatItHeld) {
  std::vector<int32_t> places;
  verify::TokenTree tree;
  build_verify_tree(5, kNodes, kProbability, std::vector<int32_t>{1}, places, tree);
  EXPECT_EQ(tree.child(0, 11), 1);
  build_verify_tree(6, kNodes, kProbability, {}, places, tree);
  ASSERT_EQ(tree.size(), 1);
  EXPECT_EQ(tree[0].token, 6);
  build_verify_tree(7, {}, {}, {}, places, tree);
  EXPECT_EQ(tree.size(), 1);
}

}  // namespace
}  // namespace ft::scheduler
