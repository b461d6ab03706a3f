#include "draft/child_proposer.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

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
      proposer.propose(request, logits, said, TreeBuilder::kAnchor, builder, tree);
      builder.finish(tree);
      ASSERT_FALSE(tree.nodes.empty()) << said << " " << draws;
      EXPECT_EQ(tree.nodes[0].score, taken) << said << " " << draws;
      EXPECT_GT(tree.nodes[0].path_probability, 0.0f) << said << " " << draws;
    }
}

}  // namespace
}  // namespace ft::draft
