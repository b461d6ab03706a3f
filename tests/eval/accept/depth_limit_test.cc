#include "eval/accept/depth_limit.h"

#include <gtest/gtest.h>

namespace ft::eval {
namespace {

// Proposes a fixed tree: two children of the anchor, and a chain of two behind the second.
class FixedDrafter final : public draft::Drafter {
 public:
  std::string_view name() const override { return "dspark"; }
  int depth_max() const override { return 3; }
  void open(SequenceId, int64_t, const draft::DraftSnapshot*) override {}
  std::unique_ptr<draft::DraftSnapshot> snapshot(SequenceId, int64_t) override { return nullptr; }
  void observe(const ForwardOutput&, std::span<const draft::ObservedRows>) override {}
  void propose(std::span<const draft::ProposeRequest>, std::span<draft::DraftTree> trees) override {
    draft::DraftTree& tree = trees[0];
    tree.nodes = {{.token = 1, .parent = -1, .depth = 1},
                  {.token = 2, .parent = -1, .depth = 1},
                  {.token = 3, .parent = 1, .depth = 2},
                  {.token = 4, .parent = 2, .depth = 3},
                  {.token = 5, .parent = 0, .depth = 2}};
    tree.probability.assign(5 * 7, 0.0);
  }
  void close(SequenceId) override {}
};

TEST(DepthLimit, CutsTreesAndKeepsThemTrees) {
  DepthLimit limit(std::make_unique<FixedDrafter>(), 2);
  EXPECT_EQ(limit.depth_max(), 2);
  const draft::ProposeRequest request;
  draft::DraftTree tree;
  limit.propose(std::span(&request, 1), std::span(&tree, 1));
  ASSERT_EQ(tree.nodes.size(), 4u);
  EXPECT_EQ(tree.nodes[2].token, 3);
  EXPECT_EQ(tree.nodes[2].parent, 1);
  EXPECT_EQ(tree.nodes[3].token, 5);
  EXPECT_EQ(tree.nodes[3].parent, 0);
  EXPECT_EQ(tree.probability.size(), 4u * 7u);
}

}  // namespace
}  // namespace ft::eval
