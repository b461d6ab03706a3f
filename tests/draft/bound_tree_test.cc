#include "draft/bound_tree.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/verify/scripted_constraint.h"

namespace ft::draft {
namespace {

using verify::ScriptedConstraint;
using History = ScriptedConstraint::History;

constexpr int64_t kVocab = 40;

DraftNode node(int32_t token, int32_t parent, float probability, int depth) {
  DraftNode made;
  made.token = token;
  made.parent = parent;
  made.path_probability = probability;
  made.depth = static_cast<uint8_t>(depth);
  return made;
}

ProposeRequest asked(const Constraint& constraint, int32_t nodes_max) {
  ProposeRequest request;
  request.constraint = &constraint;
  request.nodes_max = nodes_max;
  return request;
}

std::vector<int32_t> tokens_of(const DraftTree& tree) {
  std::vector<int32_t> tokens;
  for (const DraftNode& one : tree.nodes) tokens.push_back(one.token);
  return tokens;
}

// Behind 7 come 8, 9, 10; behind 10 anything but 1.
ScriptedConstraint counting(History history = {}) {
  const auto forces = [](const History& tokens) {
    History forced;
    for (int32_t next = tokens.empty() ? 0 : tokens.back() + 1; next >= 8 && next <= 10; ++next)
      forced.push_back(next);
    return forced;
  };
  const auto allows = [forces](const History& tokens, int32_t token) {
    const History forced = forces(tokens);
    return forced.empty() ? token != 1 : token == forced.front();
  };
  return {kVocab, allows, std::move(history), {}, forces};
}

TEST(BoundTree, AddsForcedTokensWithTheProbabilityOfWhatIsBeforeThem) {
  const ScriptedConstraint constraint = counting();
  DraftTree tree{{node(7, -1, 0.5f, 1), node(2, -1, 0.25f, 1), node(3, 1, 0.125f, 2)}};
  BoundTree(16).bind(asked(constraint, 16), tree);
  EXPECT_EQ(tokens_of(tree), (std::vector<int32_t>{7, 8, 9, 10, 2, 3}));
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(tree.nodes[i].source, DraftSource::kForced);
    EXPECT_EQ(tree.nodes[i].path_probability, 0.5f);
    EXPECT_EQ(tree.nodes[i].parent, static_cast<int32_t>(i) - 1);
    EXPECT_EQ(tree.nodes[i].depth, i + 1);
  }
  EXPECT_EQ(tree.nodes[0].source, DraftSource::kModel);
  EXPECT_EQ(tree.nodes[5].parent, 4);
}

TEST(BoundTree, ForcesTheAnchorsTokensWithoutAnyDraft) {
  const ScriptedConstraint constraint = counting({7});
  DraftTree tree;
  BoundTree(16).bind(asked(constraint, 16), tree);
  EXPECT_EQ(tokens_of(tree), (std::vector<int32_t>{8, 9, 10}));
  EXPECT_EQ(tree.nodes[2].path_probability, 1.0f);
  BoundTree(16).bind(asked(constraint, 2), tree);
  EXPECT_EQ(tokens_of(tree), (std::vector<int32_t>{8, 9}));
}

TEST(BoundTree, TakesOutWhatIsForbiddenWithAllBehindIt) {
  const ScriptedConstraint constraint = counting();
  DraftTree tree{{node(1, -1, 0.6f, 1), node(2, 0, 0.5f, 2), node(3, -1, 0.3f, 1), node(4, 2, 0.2f, 2)}};
  BoundTree(16).bind(asked(constraint, 16), tree);
  EXPECT_EQ(tokens_of(tree), (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(tree.nodes[1].parent, 0);
}

TEST(BoundTree, WhatIsBehindACertainTokenGainsByIt) {
  const ScriptedConstraint constraint = counting({9});
  DraftTree tree{{node(10, -1, 0.5f, 1), node(2, 0, 0.25f, 2)}};
  BoundTree(16).bind(asked(constraint, 16), tree);
  EXPECT_EQ(tokens_of(tree), (std::vector<int32_t>{10, 2}));
  EXPECT_EQ(tree.nodes[0].path_probability, 1.0f);
  EXPECT_EQ(tree.nodes[0].source, DraftSource::kForced);
  EXPECT_EQ(tree.nodes[1].path_probability, 0.5f);
  EXPECT_EQ(tree.nodes[1].source, DraftSource::kModel);
}

TEST(BoundTree, LeavesFreeRequestsAndDrawnChainsAlone) {
  const ScriptedConstraint constraint = counting({7});
  ProposeRequest drawn = asked(constraint, 8);
  drawn.draw = true;
  const DraftTree before{{node(1, -1, 0.5f, 1)}};
  DraftTree tree = before;
  BoundTree(16).bind(drawn, tree);
  EXPECT_EQ(tokens_of(tree), tokens_of(before));
  ProposeRequest free;
  free.nodes_max = 8;
  BoundTree(16).bind(free, tree);
  EXPECT_EQ(tokens_of(tree), tokens_of(before));
}

// Any tree under any constraint: a tree in order, of allowed tokens, with every forced one that fits.
TEST(BoundTree, KeepsTheOrderOfTreesAndTheBestNodes) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 300; ++trial) {
    const auto salt = static_cast<uint32_t>(random());
    const auto forces = [salt](const History& tokens) {
      const uint32_t hash =
          (tokens.empty() ? salt : salt ^ static_cast<uint32_t>(tokens.back()) * 2654435761u) >> 7;
      return hash % 3 == 0 ? History{static_cast<int32_t>(hash % kVocab)} : History{};
    };
    const auto allows = [&](const History& tokens, int32_t token) {
      const History forced = forces(tokens);
      return forced.empty() ? token % 5 != 0 : token == forced.front();
    };
    const ScriptedConstraint constraint(kVocab, allows, {}, {}, forces);
    DraftTree tree;
    for (int32_t i = 0; i < 12; ++i) {
      const int32_t parent = static_cast<int32_t>(random() % static_cast<uint32_t>(i + 1)) - 1;
      const float before = parent < 0 ? 1.0f : tree.nodes[static_cast<size_t>(parent)].path_probability;
      const int depth = parent < 0 ? 1 : tree.nodes[static_cast<size_t>(parent)].depth + 1;
      tree.nodes.push_back(node(static_cast<int32_t>(i * 3 + random() % 3) % 40, parent,
                                before * static_cast<float>(random() % 100) / 100.0f, depth));
    }
    const auto nodes_max = static_cast<int32_t>(1 + random() % 20);
    BoundTree(4).bind(asked(constraint, nodes_max), tree);
    ASSERT_LE(std::ssize(tree.nodes), nodes_max);
    std::vector<History> paths;
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      const DraftNode& one = tree.nodes[i];
      ASSERT_LT(one.parent, static_cast<int32_t>(i));
      History path = one.parent < 0 ? History{} : paths[static_cast<size_t>(one.parent)];
      ASSERT_EQ(one.depth, path.size() + 1);
      ASSERT_TRUE(allows(path, one.token));
      ASSERT_EQ(one.source == DraftSource::kForced, !forces(path).empty());
      ASSERT_LE(one.path_probability,
                one.parent < 0 ? 1.0f : tree.nodes[static_cast<size_t>(one.parent)].path_probability);
      if (i > 0) {
        ASSERT_LE(one.path_probability, tree.nodes[i - 1].path_probability);
      }
      path.push_back(one.token);
      paths.push_back(std::move(path));
    }
    if (std::ssize(tree.nodes) == nodes_max) continue;
    // Nothing was cut, so no forced token is missing.
    paths.emplace_back();
    for (size_t i = 0; i < paths.size(); ++i)
      if (!forces(paths[i]).empty() && paths[i].size() < 255) {
        const auto parent = i + 1 == paths.size() ? -1 : static_cast<int32_t>(i);
        ASSERT_TRUE(
            std::ranges::any_of(tree.nodes, [&](const DraftNode& one) { return one.parent == parent; }));
      }
  }
}

}  // namespace
}  // namespace ft::draft
