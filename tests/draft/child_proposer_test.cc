#include "draft/child_proposer.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <vector>

#include "tests/verify/scripted_constraint.h"

namespace ft::draft {
namespace {

// What a network says of its first child is taken as far as scores go: a draft that it finds hopeless can
// still be seen, and be found better than that.
TEST(ChildProposer, BoundsWhatTheDraftSaysOfTheFirstChild) {
  const std::vector<float> logits = {0.0f, 3.0f, 1.0f, 2.0f};
  for (const bool draws : {false, true})
    for (const auto& [said, taken] : {std::pair(1.25f, 1.25f), std::pair(-100.0f, -kScoreMost),
                                      std::pair(std::numeric_limits<float>::infinity(), kScoreMost),
                                      std::pair(std::numeric_limits<float>::quiet_NaN(), -kScoreMost)}) {
      ProposeRequest request;
      request.nodes_max = 4;
      request.temperature = draws ? 1.0 : 0.0;
      request.draw = draws;
      TreeBuilder builder;
      builder.start(request, DraftSource::kModel, 1);
      ChildProposer proposer;
      DraftTree tree;
      NodeConstraints free;
      proposer.propose(request, logits, said, TreeBuilder::kAnchor, builder, free, tree);
      builder.finish(tree);
      ASSERT_FALSE(tree.nodes.empty()) << said << " " << draws;
      EXPECT_EQ(tree.nodes[0].score, taken) << said << " " << draws;
      EXPECT_GT(tree.nodes[0].path_probability, 0.0f) << said << " " << draws;
    }
}

DraftTree children_of(const ProposeRequest& request, const std::vector<float>& logits,
                      std::optional<float> first_score) {
  TreeBuilder builder;
  builder.start(request, DraftSource::kModel, 1);
  NodeConstraints states;
  states.start(request.constraint);
  DraftTree tree;
  ChildProposer().propose(request, logits, first_score, TreeBuilder::kAnchor, builder, states, tree);
  builder.finish(tree);
  return tree;
}

// Token 1 is the draft's best one and may not come; what is ranked and how likely it is are as if it were not there.
TEST(ChildProposer, RanksOnlyWhatTheConstraintAllows) {
  const verify::ScriptedConstraint odd_ones_out(4, [](const auto&, int32_t token) { return token != 1; });
  const std::vector<float> logits = {0.0f, 3.0f, 1.0f, 2.0f};
  for (const double temperature : {0.0, 1.0}) {
    ProposeRequest request;
    request.nodes_max = 4;
    request.temperature = temperature;
    request.constraint = &odd_ones_out;
    const DraftTree bound = children_of(request, logits, std::nullopt);
    request.constraint = nullptr;
    const DraftTree without =
        children_of(request, {0.0f, -std::numeric_limits<float>::infinity(), 1.0f, 2.0f}, std::nullopt);
    ASSERT_EQ(bound.nodes.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(bound.nodes[i].token, without.nodes[i].token);
      EXPECT_EQ(bound.nodes[i].path_probability, without.nodes[i].path_probability);
    }
  }
}

TEST(ChildProposer, WhatIsSaidOfAForbiddenTokenIsNotTakenForAnother) {
  const auto without = [](int32_t forbidden) {
    return verify::ScriptedConstraint(4, [=](const auto&, int32_t token) { return token != forbidden; });
  };
  const std::vector<float> logits = {0.0f, 3.0f, 1.0f, 2.0f};
  ProposeRequest request;
  request.nodes_max = 4;
  const Constraint best_forbidden = without(1);
  request.constraint = &best_forbidden;
  EXPECT_NE(children_of(request, logits, 5.0f).nodes[0].score, 5.0f);
  const Constraint other_forbidden = without(0);
  request.constraint = &other_forbidden;
  EXPECT_EQ(children_of(request, logits, 5.0f).nodes[0].score, 5.0f);
}

TEST(ChildProposer, AForcedTokenIsTheOnlyChildAndCertain) {
  const verify::ScriptedConstraint forced(
      4, [](const auto&, int32_t token) { return token == 2; }, {}, {},
      [](const auto&) { return std::vector{2}; });
  ProposeRequest request;
  request.nodes_max = 4;
  request.temperature = 1.0;
  request.constraint = &forced;
  const DraftTree tree = children_of(request, {0.0f, 3.0f, -9.0f, 2.0f}, -3.0f);
  ASSERT_EQ(tree.nodes.size(), 1u);
  EXPECT_EQ(tree.nodes[0].token, 2);
  EXPECT_EQ(tree.nodes[0].path_probability, 1.0f);
  EXPECT_EQ(tree.nodes[0].source, DraftSource::kForced);
}

}  // namespace
}  // namespace ft::draft
