#include "draft/tree_merge.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ft::draft {
namespace {

// A node by hand; `odds` to one that it is taken where nothing before it is.
DraftNode node(int32_t token, int32_t parent, float odds, int rank, int depth, DraftSource source) {
  return {token, parent, 0.0f, std::log(odds), static_cast<uint8_t>(rank), static_cast<uint8_t>(depth),
          source};
}
DraftNode of_model(int32_t token, int32_t parent, float odds, int rank, int depth) {
  return node(token, parent, odds, rank, depth, DraftSource::kModel);
}
DraftNode of_ngram(int32_t token, int32_t parent, float odds, int rank, int depth) {
  return node(token, parent, odds, rank, depth, DraftSource::kNgram);
}

// Scores are taken at their word, and nodes of both sources have three times the odds.
AcceptanceTable plain_acceptance() {
  AcceptanceTable table;
  for (int depth = 1; depth <= kAcceptanceDepths; ++depth)
    for (int rank = 0; rank < kBranchMax; ++rank)
      table.row(DraftSource::kBoth, depth).set(rank, {1.0f, std::log(3.0f)});
  return table;
}

DraftTree merged(const DraftTree& model, const DraftTree& ngram, int32_t nodes_max = 99,
                 TreeShape shape = TreeShape::kBestFirst) {
  const AcceptanceTable table = plain_acceptance();
  ProposeRequest request;
  request.acceptance = &table;
  request.nodes_max = nodes_max;
  request.shape = shape;
  DraftTree out;
  out.nodes.resize(3);  // left over from another step
  TreeMerge(4).merge(request, model, ngram, out);
  return out;
}

// Path probabilities to the nearest 1 / 4000, further apart than a share from a table may be off.
std::string text(const DraftTree& tree) {
  std::string out;
  for (const DraftNode& n : tree.nodes)
    out += fmt::format("{}<{}:{:.5f}{} ", n.token, n.parent, std::round(n.path_probability * 4e3) / 4e3,
                       "mnb"[static_cast<size_t>(n.source)]);
  return out;
}

TEST(TreeMerge, OneSourceAloneIsAsItWas) {
  const DraftTree model{
      {of_model(5, -1, 1.0f, 0, 1), of_model(6, -1, 1.0f, 1, 1), of_model(7, 0, 0.25f, 0, 2)}};
  EXPECT_EQ(text(merged(model, {})), "5<-1:0.50000m 6<-1:0.25000m 7<0:0.10000m ");
  const DraftTree ngram{
      {of_ngram(5, -1, 1.0f, 0, 1), of_ngram(6, -1, 1.0f, 1, 1), of_ngram(7, 0, 0.25f, 0, 2)}};
  EXPECT_EQ(text(merged({}, ngram)), "5<-1:0.50000n 6<-1:0.25000n 7<0:0.10000n ");
  EXPECT_EQ(text(merged({}, {})), "");
}

TEST(TreeMerge, TheSamePathIsOneNodeOfBoth) {
  const DraftTree model{{of_model(5, -1, 1.0f, 0, 1), of_model(7, 0, 0.25f, 0, 2)}};
  const DraftTree ngram{
      {of_ngram(5, -1, 4.0f, 0, 1), of_ngram(7, 0, 9.0f, 0, 2), of_ngram(8, 1, 1.0f, 0, 3)}};
  // 5: odds 3, 7: odds 0.75, and what only n-grams know hangs below.
  const DraftTree tree = merged(model, ngram);
  EXPECT_EQ(text(tree), "5<-1:0.75000b 7<0:0.32150b 8<1:0.16075n ");
  // The model's score and rank stay.
  EXPECT_FLOAT_EQ(tree.nodes[1].score, std::log(0.25f));
  EXPECT_EQ(tree.nodes[2].depth, 3);
}

TEST(TreeMerge, TheSameTokenBehindOtherParentsIsAnotherNode) {
  const DraftTree model{{of_model(5, -1, 1.0f, 0, 1), of_model(7, 0, 1.0f, 0, 2)}};
  const DraftTree ngram{{of_ngram(6, -1, 1.0f, 0, 1), of_ngram(7, 0, 0.25f, 0, 2)}};
  EXPECT_EQ(text(merged(model, ngram)), "5<-1:0.50000m 6<-1:0.25000n 7<0:0.25000m 7<1:0.05000n ");
}

TEST(TreeMerge, NgramsComeBehindTheModelsChildrenWithWhatThoseLeave) {
  const DraftTree model{{of_model(5, -1, 0.25f, 0, 1), of_model(6, -1, 0.125f, 1, 1)}};
  // Of n-gram children 6, 8, 9 the first is the model's second: (1 - 0.2) * sigmoid(log 0.375). The others
  // are not bound by the model's children, but each by the n-gram before.
  const DraftTree ngram{
      {of_ngram(6, -1, 4.0f, 0, 1), of_ngram(8, -1, 1.0f, 1, 1), of_ngram(9, -1, 9.0f, 2, 1)}};
  const double second = std::min(0.8 * 0.375 / 1.375, 0.2);
  const double third = (0.8 - second) * 0.5;
  const double fourth = std::min((0.8 - second - third) * 0.9, third);
  const DraftTree tree = merged(model, ngram);
  ASSERT_EQ(tree.nodes.size(), 4u);
  const int32_t tokens[] = {8, 9, 5, 6};
  const double shares[] = {third, fourth, 0.2, second};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(tree.nodes[i].token, tokens[i]);
    EXPECT_NEAR(tree.nodes[i].path_probability, shares[i], 2e-5);
  }
  EXPECT_EQ(tree.nodes[0].rank, 1);
}

TEST(TreeMerge, IsSortedAgainAndCutWithParentsFirst) {
  const DraftTree model{
      {of_model(1, -1, 1.0f, 0, 1), of_model(2, 0, 1.0f, 0, 2), of_model(3, 1, 1.0f, 0, 3)}};
  const DraftTree ngram{{of_ngram(9, -1, 9.0f, 0, 1), of_ngram(8, 0, 9.0f, 0, 2)}};
  // 1: 0.5, 9: 0.45, 8: 0.405, 2: 0.25, 3: 0.125.
  const std::string all = "1<-1:0.50000m 9<-1:0.45000n 8<1:0.40500n 2<0:0.25000m 3<3:0.12500m ";
  EXPECT_EQ(text(merged(model, ngram)), all);
  for (int32_t nodes_max = 1; nodes_max < 5; ++nodes_max)
    EXPECT_TRUE(all.starts_with(text(merged(model, ngram, nodes_max)))) << nodes_max;
  EXPECT_EQ(merged(model, ngram, 4).nodes.size(), 4u);
}

TEST(TreeMerge, EqualNodesGoShallowerThenTheModelsFirst) {
  constexpr float kSure = std::numeric_limits<float>::infinity();
  const DraftTree model{{of_model(1, -1, 1.0f, 0, 1), of_model(2, 0, kSure, 0, 2)}};
  const DraftTree ngram{{of_ngram(9, -1, kSure, 0, 1), of_ngram(8, 0, kSure, 0, 2)}};
  EXPECT_EQ(text(merged(model, ngram)), "1<-1:0.50000m 9<-1:0.50000n 2<0:0.50000m 8<1:0.50000n ");
}

TEST(TreeMerge, AChainGoesOnOnlyWhereItEnds) {
  const DraftTree model{{of_model(1, -1, 1.0f, 0, 1), of_model(2, 0, 1.0f, 0, 2)}};
  const DraftTree agreeing{
      {of_ngram(1, -1, 1.0f, 0, 1), of_ngram(2, 0, 1.0f, 0, 2), of_ngram(3, 1, 1.0f, 0, 3)}};
  const DraftTree parting{
      {of_ngram(1, -1, 1.0f, 0, 1), of_ngram(4, 0, 9.0f, 0, 2), of_ngram(3, 1, 9.0f, 0, 3)}};
  EXPECT_EQ(text(merged(model, agreeing, 99, TreeShape::kChain)), "1<-1:0.75000b 2<0:0.56250b 3<1:0.28125n ");
  EXPECT_EQ(text(merged(model, parting, 99, TreeShape::kChain)), "1<-1:0.75000b 2<0:0.37500m ");
  EXPECT_EQ(text(merged({}, parting, 99, TreeShape::kChain)), "1<-1:0.50000n 4<0:0.45000n 3<1:0.40500n ");
}

}  // namespace
}  // namespace ft::draft
