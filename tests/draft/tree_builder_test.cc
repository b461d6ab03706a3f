#include "draft/tree_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace ft::draft {
namespace {

struct Child {
  int32_t token;
  float share;
};

// Children by the path of tokens that leads to their parent.
using Children = std::map<std::vector<int32_t>, std::vector<Child>>;

DraftTree build(const Children& children, TreeShape shape, int32_t nodes_max, int32_t depth_max,
                int32_t frontier_max = TreeBuilder::kFrontierMax) {
  TreeBuilder builder;
  builder.start(shape, nodes_max, depth_max, frontier_max);
  while (!builder.frontier().empty()) {
    const std::vector<int32_t> frontier(builder.frontier().begin(), builder.frontier().end());
    for (int32_t node : frontier) {
      std::vector<int32_t> path;
      for (int32_t at = node; at != TreeBuilder::kAnchor; at = builder.parent(at))
        path.insert(path.begin(), builder.token(at));
      const auto found = children.find(path);
      if (found == children.end()) continue;
      for (const Child& child : found->second) builder.add(node, child.token, child.share);
    }
    builder.descend();
  }
  DraftTree tree;
  builder.finish(tree);
  return tree;
}

// "token<parent:probability" of every node.
std::string text(const DraftTree& tree) {
  std::string out;
  for (const DraftNode& node : tree.nodes)
    out += fmt::format("{}<{}:{:.3f} ", node.token, node.parent, node.path_probability);
  return out;
}

const Children kFork = {
    {{}, {{10, 0.5f}, {11, 0.4f}}},
    {{10}, {{20, 0.5f}, {21, 0.25f}}},
    {{11}, {{20, 0.75f}}},
    {{11, 20}, {{30, 0.5f}}},
};

TEST(TreeBuilder, keeps_the_most_probable_nodes_with_parents_first) {
  struct Case {
    int32_t nodes_max;
    int32_t depth_max;
    const char* want;
  };
  const Case cases[] = {
      {0, 4, ""},
      {1, 4, "10<-1:0.500 "},
      {2, 4, "10<-1:0.500 11<-1:0.400 "},
      {3, 4, "10<-1:0.500 11<-1:0.400 20<1:0.300 "},
      {4, 4, "10<-1:0.500 11<-1:0.400 20<1:0.300 20<0:0.250 "},
      {5, 4, "10<-1:0.500 11<-1:0.400 20<1:0.300 20<0:0.250 30<2:0.150 "},
      {9, 4, "10<-1:0.500 11<-1:0.400 20<1:0.300 20<0:0.250 30<2:0.150 21<0:0.125 "},
      {9, 2, "10<-1:0.500 11<-1:0.400 20<1:0.300 20<0:0.250 21<0:0.125 "},
      {9, 1, "10<-1:0.500 11<-1:0.400 "},
      {9, 0, ""},
  };
  for (const Case& c : cases)
    EXPECT_EQ(text(build(kFork, TreeShape::kBestFirst, c.nodes_max, c.depth_max)), c.want)
        << c.nodes_max << " nodes, depth " << c.depth_max;
}

TEST(TreeBuilder, a_chain_takes_first_children_only) {
  EXPECT_EQ(text(build(kFork, TreeShape::kChain, 9, 4)), "10<-1:0.500 20<0:0.250 ");
  EXPECT_EQ(text(build(kFork, TreeShape::kChain, 1, 4)), "10<-1:0.500 ");
}

TEST(TreeBuilder, equal_probabilities_go_shallower_then_earlier) {
  const Children certain = {
      {{}, {{1, 0.5f}, {2, 0.5f}}}, {{1}, {{3, 1.0f}}}, {{2}, {{4, 1.0f}}}, {{1, 3}, {{5, 1.0f}}}};
  EXPECT_EQ(text(build(certain, TreeShape::kBestFirst, 9, 4)),
            "1<-1:0.500 2<-1:0.500 3<0:0.500 4<1:0.500 5<2:0.500 ");
  EXPECT_EQ(text(build(certain, TreeShape::kBestFirst, 3, 4)), "1<-1:0.500 2<-1:0.500 3<0:0.500 ");
}

TEST(TreeBuilder, shares_are_clamped_and_worthless_children_left_out) {
  const Children odd = {
      {{}, {{1, 1.5f}, {2, 0.0f}, {3, -1.0f}, {4, std::numeric_limits<float>::quiet_NaN()}}},
      {{1}, {{5, 7.0f}}}};
  EXPECT_EQ(text(build(odd, TreeShape::kBestFirst, 9, 4)), "1<-1:1.000 5<0:1.000 ");
}

TEST(TreeBuilder, a_narrow_frontier_expands_the_best_nodes_of_a_level) {
  EXPECT_EQ(text(build(kFork, TreeShape::kBestFirst, 9, 4, 1)),
            "10<-1:0.500 11<-1:0.400 20<0:0.250 21<0:0.125 ");
}

TEST(TreeBuilder, reports_what_it_does_not_keep) {
  TreeBuilder builder;
  builder.start(TreeShape::kBestFirst, 1, 4);
  EXPECT_GE(builder.add(TreeBuilder::kAnchor, 1, 0.5f), 0);
  EXPECT_EQ(builder.add(TreeBuilder::kAnchor, 2, 0.5f), TreeBuilder::kRejected);
  const int32_t better = builder.add(TreeBuilder::kAnchor, 3, 0.75f);
  EXPECT_GE(better, 0);
  builder.set_tag(better, 42);
  EXPECT_EQ(builder.tag(better), 42);
  builder.descend();
  // The tree is full, and no child of the last node can be better than it.
  EXPECT_TRUE(builder.frontier().empty());
  DraftTree tree;
  builder.finish(tree);
  EXPECT_EQ(text(tree), "3<-1:0.750 ");
}

// Exhaustive expansion, sorted: what best first must agree with when the frontier is wide enough.
TEST(TreeBuilder, equals_the_exhaustive_choice) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Children children;
    struct Candidate {
      std::vector<int32_t> path;
      float probability;
    };
    std::vector<Candidate> all = {{{}, 1.0f}};
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].path.size() == 3) continue;
      const Candidate parent = all[i];
      float left = 1.0f;
      for (int32_t k = 0; k < 2; ++k) {
        const float share = left * std::uniform_real_distribution<float>(0.05f, 0.9f)(random);
        left -= share;
        Candidate child = parent;
        child.path.push_back(static_cast<int32_t>(10 * all.size()) + k);
        child.probability = parent.probability * share;
        children[parent.path].push_back({child.path.back(), share});
        all.push_back(child);
      }
    }
    all.erase(all.begin());
    const auto nodes_max = std::uniform_int_distribution<int32_t>(1, 12)(random);
    std::stable_sort(all.begin(), all.end(),
                     [](const Candidate& a, const Candidate& b) { return a.probability > b.probability; });
    const DraftTree tree = build(children, TreeShape::kBestFirst, nodes_max, 3);
    ASSERT_EQ(tree.nodes.size(), std::min<size_t>(static_cast<size_t>(nodes_max), all.size()));
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      EXPECT_EQ(tree.nodes[i].token, all[i].path.back()) << "round " << round << ", node " << i;
      EXPECT_FLOAT_EQ(tree.nodes[i].path_probability, all[i].probability);
      EXPECT_LT(tree.nodes[i].parent, static_cast<int32_t>(i));
      if (tree.nodes[i].parent >= 0) {
        EXPECT_LE(tree.nodes[i].path_probability,
                  tree.nodes[static_cast<size_t>(tree.nodes[i].parent)].path_probability);
      }
    }
  }
}

}  // namespace
}  // namespace ft::draft
