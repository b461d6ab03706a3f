#include "draft/tree_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

namespace ft::draft {
namespace {

constexpr float kSure = std::numeric_limits<float>::infinity();

// A child whose conditional acceptance probability is `part`.
struct Child {
  int32_t token;
  float part;

  float score() const { return part == 1.0f ? kSure : std::log(part / (1.0f - part)); }
};

ProposeRequest asked(TreeShape shape, int32_t nodes_max) {
  ProposeRequest request;
  request.shape = shape;
  request.nodes_max = nodes_max;
  return request;
}

// Children by the path of tokens that leads to their parent.
using Children = std::map<std::vector<int32_t>, std::vector<Child>>;

DraftTree build(const Children& children, TreeShape shape, int32_t nodes_max, int32_t depth_max,
                int32_t frontier_max = TreeBuilder::kFrontierMax) {
  TreeBuilder builder;
  builder.start(asked(shape, nodes_max), DraftSource::kModel, depth_max, frontier_max);
  while (!builder.frontier().empty()) {
    const std::vector<int32_t> frontier(builder.frontier().begin(), builder.frontier().end());
    for (int32_t node : frontier) {
      std::vector<int32_t> path;
      for (int32_t at = node; at != TreeBuilder::kAnchor; at = builder.parent(at))
        path.insert(path.begin(), builder.token(at));
      const auto found = children.find(path);
      if (found == children.end()) continue;
      std::vector<TreeBuilder::Child> scored;
      for (const Child& child : found->second) scored.push_back({child.token, child.score()});
      builder.expand(node, scored);
    }
    builder.descend();
  }
  DraftTree tree;
  builder.finish(tree);
  for (size_t i = 0; i < tree.nodes.size(); ++i) EXPECT_LT(tree.nodes[i].parent, static_cast<int32_t>(i));
  return tree;
}

// The same tree by falling probability, equal nodes in the order that they have.
DraftTree falling(const DraftTree& tree) {
  std::vector<size_t> order(tree.nodes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](size_t i) { return tree.nodes[i].path_probability; });
  DraftTree sorted;
  for (size_t i : order) {
    sorted.nodes.push_back(tree.nodes[i]);
    if (tree.nodes[i].parent < 0) continue;
    const auto parent = std::ranges::find(order, static_cast<size_t>(tree.nodes[i].parent));
    sorted.nodes.back().parent = static_cast<int32_t>(parent - order.begin());
  }
  return sorted;
}

// "token<parent:probability" of every node, the most probable first.
std::string text(const DraftTree& tree) {
  std::string out;
  for (const DraftNode& node : falling(tree).nodes)
    out += fmt::format("{}<{}:{:.3f} ", node.token, node.parent, node.path_probability);
  return out;
}

const Children kFork = {
    {{}, {{10, 0.5f}, {11, 0.8f}}},
    {{10}, {{20, 0.5f}, {21, 0.5f}}},
    {{11}, {{20, 0.75f}}},
    {{11, 20}, {{30, 0.5f}}},
};

TEST(TreeBuilder, KeepsTheMostProbableNodesWithParentsFirst) {
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

TEST(TreeBuilder, AChainTakesFirstChildrenOnly) {
  EXPECT_EQ(text(build(kFork, TreeShape::kChain, 9, 4)), "10<-1:0.500 20<0:0.250 ");
  EXPECT_EQ(text(build(kFork, TreeShape::kChain, 1, 4)), "10<-1:0.500 ");
}

TEST(TreeBuilder, EqualProbabilitiesGoShallowerThenEarlier) {
  const Children certain = {
      {{}, {{1, 0.5f}, {2, 1.0f}}}, {{1}, {{3, 1.0f}}}, {{2}, {{4, 1.0f}}}, {{1, 3}, {{5, 1.0f}}}};
  EXPECT_EQ(text(build(certain, TreeShape::kBestFirst, 9, 4)),
            "1<-1:0.500 2<-1:0.500 3<0:0.500 4<1:0.500 5<2:0.500 ");
  EXPECT_EQ(text(build(certain, TreeShape::kBestFirst, 3, 4)), "1<-1:0.500 2<-1:0.500 3<0:0.500 ");
}

TEST(TreeBuilder, ChildrenThatNothingIsLeftForAreLeftOut) {
  struct Case {
    std::vector<TreeBuilder::Child> children;
    const char* want;
  };
  const Case cases[] = {
      {{{1, kSure}, {2, kSure}}, "1<-1:1.000 "},
      {{{1, 0.0f}, {2, kSure}, {3, 0.0f}}, "1<-1:0.500 2<-1:0.500 "},
      // A low score leaves a chance to be seen, and bounds those behind it.
      {{{1, -kSure}, {2, kSure}}, "1<-1:0.000 2<-1:0.000 "},
  };
  for (const Case& c : cases) {
    TreeBuilder builder;
    ProposeRequest request = asked(TreeShape::kBestFirst, 9);
    builder.start(request, DraftSource::kModel, 2);
    const TreeBuilder::Added added = builder.expand(TreeBuilder::kAnchor, c.children);
    DraftTree tree;
    builder.finish(tree);
    EXPECT_EQ(text(tree), c.want);
    EXPECT_EQ(added.first, 0) << c.want;
    EXPECT_EQ(static_cast<size_t>(added.count), tree.nodes.size()) << c.want;
  }
}

TEST(TreeBuilder, NoChildGetsMoreThanTheOneBefore) {
  EXPECT_EQ(text(build({{{}, {{1, 0.25f}, {2, 0.9f}, {3, 0.9f}}}}, TreeShape::kBestFirst, 9, 1)),
            "1<-1:0.250 2<-1:0.250 3<-1:0.250 ");
}

TEST(TreeBuilder, ADrawnChainKeepsEveryNodeInOrderOfDepth) {
  TreeBuilder builder;
  ProposeRequest request = asked(TreeShape::kBestFirst, 4);
  request.draw = true;
  builder.start(request, DraftSource::kModel, 9);
  int32_t node = TreeBuilder::kAnchor;
  for (float score : {0.0f, -kSure, std::numeric_limits<float>::quiet_NaN(), kSure}) {
    ASSERT_EQ(std::vector(builder.frontier().begin(), builder.frontier().end()), std::vector{node});
    const TreeBuilder::Child child{7, score};
    node = builder.expand(node, std::span(&child, 1)).first;
    builder.descend();
  }
  EXPECT_TRUE(builder.frontier().empty());
  DraftTree tree;
  builder.finish(tree);
  EXPECT_EQ(text(tree), "7<-1:0.500 7<0:0.000 7<1:0.000 7<2:0.000 ");
}

TEST(TreeBuilder, NodesSayWhatTheyWereMadeOf) {
  AcceptanceTable table;
  table.row(DraftSource::kNgram, 1).set(0, {0.0f, 0.0f});    // half, whatever the score
  table.row(DraftSource::kNgram, 1).set(1, {2.0f, -1.0f});   // sigmoid(1) of the rest
  table.row(DraftSource::kNgram, 2).set(0, {0.0f, -kSure});  // hardly ever
  ProposeRequest request = asked(TreeShape::kBestFirst, 9);
  request.acceptance = &table;
  TreeBuilder builder;
  builder.start(request, DraftSource::kNgram, 2);
  const TreeBuilder::Child children[] = {{5, 3.0f}, {6, 1.0f}};
  const int32_t first = builder.expand(TreeBuilder::kAnchor, children).first;
  builder.descend();
  const TreeBuilder::Child grandchild{7, 1.0f};
  builder.expand(first, std::span(&grandchild, 1));
  DraftTree tree;
  builder.finish(tree);
  EXPECT_EQ(text(tree), "5<-1:0.500 6<-1:0.366 7<0:0.000 ");
  EXPECT_EQ(tree.nodes[0].score, 3.0f);
  EXPECT_EQ(tree.nodes[1].score, 1.0f);
  EXPECT_EQ(tree.nodes[0].rank, 0);
  EXPECT_EQ(tree.nodes[1].rank, 1);
  EXPECT_EQ(tree.nodes[1].depth, 1);
  EXPECT_EQ(tree.nodes[1].source, DraftSource::kNgram);
}

TEST(TreeBuilder, ANarrowFrontierExpandsTheBestNodesOfALevel) {
  EXPECT_EQ(text(build(kFork, TreeShape::kBestFirst, 9, 4, 1)),
            "10<-1:0.500 11<-1:0.400 20<0:0.250 21<0:0.125 ");
}

TEST(TreeBuilder, ReportsWhatItDoesNotKeep) {
  TreeBuilder builder;
  builder.start(asked(TreeShape::kBestFirst, 1), DraftSource::kModel, 4);
  const TreeBuilder::Child children[] = {{1, 1.0f}, {2, kSure}};
  const TreeBuilder::Added added = builder.expand(TreeBuilder::kAnchor, children);
  EXPECT_EQ(added.count, 1);
  const int32_t kept = added.first;
  builder.set_tag(kept, 42);
  EXPECT_EQ(builder.tag(kept), 42);
  builder.descend();
  // The tree is full, and no child of the last node can be better than it.
  EXPECT_TRUE(builder.frontier().empty());
  DraftTree tree;
  builder.finish(tree);
  EXPECT_EQ(text(tree), "1<-1:0.731 ");
}

// Exhaustive expansion, sorted: what best first must agree with when the frontier is wide enough.
TEST(TreeBuilder, EqualsTheExhaustiveChoice) {
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
      float bound = 1.0f;
      for (int32_t k = 0; k < 2; ++k) {
        const float part = std::uniform_real_distribution<float>(0.05f, 0.9f)(random);
        const float share = std::min(left * part, bound);
        left -= share;
        bound = share;
        Candidate child = parent;
        child.path.push_back(static_cast<int32_t>(10 * all.size()) + k);
        child.probability = parent.probability * share;
        children[parent.path].push_back({child.path.back(), part});
        all.push_back(child);
      }
    }
    all.erase(all.begin());
    const auto nodes_max = std::uniform_int_distribution<int32_t>(1, 12)(random);
    std::stable_sort(all.begin(), all.end(),
                     [](const Candidate& a, const Candidate& b) { return a.probability > b.probability; });
    const DraftTree tree = falling(build(children, TreeShape::kBestFirst, nodes_max, 3));
    ASSERT_EQ(tree.nodes.size(), std::min<size_t>(static_cast<size_t>(nodes_max), all.size()));
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      EXPECT_EQ(tree.nodes[i].token, all[i].path.back()) << "round " << round << ", node " << i;
      EXPECT_NEAR(tree.nodes[i].path_probability, all[i].probability, 5e-5);
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
