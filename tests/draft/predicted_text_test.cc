#include "draft/predicted_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "draft/prediction.h"

namespace ft::draft {
namespace {

using Tokens = std::vector<int32_t>;

// Feeds the reply; how many of its tokens were the ones predicted to come next.
int64_t follow(PredictedText& predicted, const Tokens& reply) {
  int64_t right = 0;
  for (const int32_t token : reply) {
    const auto next = predicted.next();
    right += !next.empty() && next.front() == token ? 1 : 0;
    predicted.advance(token);
  }
  return right;
}

Tokens numbers(int32_t first, int32_t count) {
  Tokens tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

Tokens joined(std::initializer_list<Tokens> parts) {
  Tokens all;
  for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(PredictedText, FollowsAReplyThatIsAsPredicted) {
  PredictedText predicted(numbers(100, 20));
  EXPECT_EQ(predicted.next().size(), 20u);
  EXPECT_EQ(follow(predicted, numbers(100, 20)), 20);
  EXPECT_EQ(predicted.accepted(), 20);
  EXPECT_EQ(predicted.rejected(), 0);
  EXPECT_TRUE(predicted.next().empty());
  EXPECT_EQ(follow(predicted, {1, 2, 3}), 0) << "behind the end";
  EXPECT_EQ(predicted.accepted(), 20);
}

TEST(PredictedText, GoesOnBehindAChange) {
  const Tokens text = numbers(100, 20);
  struct Case {
    const char* change;
    Tokens reply;
    int64_t right;     // tokens that were predicted to come next
    int64_t accepted;  // of the prediction
  };
  for (const Case& one : {
           Case{"one other token", joined({numbers(100, 8), {1}, numbers(109, 11)}), 19, 19},
           Case{"one left out", joined({numbers(100, 8), numbers(109, 11)}), 18, 19},
           Case{"five left out", joined({numbers(100, 8), numbers(113, 7)}), 14, 15},
           // Two tokens of the text, or a near one, show the place again.
           Case{"one put in", joined({numbers(100, 8), {1}, numbers(108, 12)}), 18, 20},
           Case{"many put in", joined({numbers(100, 8), numbers(1, 9), numbers(108, 12)}), 18, 20},
       }) {
    PredictedText predicted(text);
    EXPECT_GE(follow(predicted, one.reply), one.right) << one.change;
    EXPECT_GE(predicted.accepted(), one.accepted - 1) << one.change;
    EXPECT_LE(predicted.accepted(), one.accepted) << one.change;
    EXPECT_EQ(predicted.accepted() + predicted.rejected(), 20) << one.change;
  }
}

TEST(PredictedText, PredictsNothingWhileItsPlaceIsLost) {
  PredictedText predicted(numbers(100, 20));
  follow(predicted, numbers(1, 30));
  EXPECT_TRUE(predicted.next().empty());
  EXPECT_EQ(predicted.accepted(), 0);
  EXPECT_EQ(predicted.rejected(), 20);
  predicted.advance(110);
  EXPECT_TRUE(predicted.next().empty()) << "one token may be anywhere";
  predicted.advance(111);
  ASSERT_EQ(predicted.next().size(), 8u);
  EXPECT_EQ(predicted.next().front(), 112);
}

TEST(PredictedText, WaitsForTheEndOfReasoning) {
  PredictedText predicted(numbers(100, 5), 7);
  EXPECT_TRUE(predicted.next().empty());
  follow(predicted, {100, 101, 7});
  EXPECT_EQ(predicted.accepted(), 0) << "reasoning is not what was predicted";
  EXPECT_EQ(predicted.next().front(), 100);
}

TEST(PredictedText, NeverCountsATokenTwice) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    Tokens text(30), reply(60);
    for (int32_t& token : text) token = static_cast<int32_t>(random() % 4);
    for (int32_t& token : reply) token = static_cast<int32_t>(random() % 4);
    PredictedText predicted(text);
    follow(predicted, reply);
    EXPECT_GE(predicted.rejected(), 0);
  }
}

TEST(DraftPrediction, IsAChainOfWhatIsPredicted) {
  const Tokens text = numbers(100, 90);
  ProposeRequest request;
  request.predicted = text;
  request.nodes_max = 6;
  DraftTree tree;
  draft_prediction(request, 512, tree);
  ASSERT_EQ(tree.nodes.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(tree.nodes[i].token, 100 + static_cast<int32_t>(i));
    EXPECT_EQ(tree.nodes[i].parent, static_cast<int32_t>(i) - 1);
    EXPECT_EQ(tree.nodes[i].depth, i + 1);
    EXPECT_EQ(tree.nodes[i].source, DraftSource::kPrediction);
  }
  EXPECT_NEAR(tree.nodes[1].path_probability, 0.81f, 0.001f);
  request.nodes_max = 1000;
  draft_prediction(request, 512, tree);
  EXPECT_EQ(std::ssize(tree.nodes), kPredictedMost);
  request.draw = true;
  request.nodes_max = 2;
  draft_prediction(request, 512, tree);
  ASSERT_EQ(tree.probability.size(), 1024u);
  EXPECT_EQ(tree.probability[100], 1.0);
  EXPECT_EQ(tree.probability[512 + 101], 1.0);
}

}  // namespace
}  // namespace ft::draft
