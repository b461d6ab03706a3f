#include "draft/ngram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace ft::draft {
namespace {

constexpr int64_t kVocab = 20;

std::string text(const DraftTree& tree) {
  std::string out;
  for (const DraftNode& node : tree.nodes) out += fmt::format("{}<{} ", node.token, node.parent);
  return out;
}

DraftTree propose(Ngram& ngram, const std::vector<int32_t>& history, int32_t nodes_max,
                  TreeShape shape = TreeShape::kBestFirst, SequenceId sequence = 0) {
  ProposeRequest request;
  request.sequence = sequence;
  request.anchor = history.back();
  request.position = static_cast<int64_t>(history.size()) - 1;
  request.history = history;
  request.nodes_max = nodes_max;
  request.shape = shape;
  request.use_ngram = true;
  DraftTree tree;
  ngram.propose(std::span(&request, 1), std::span(&tree, 1));
  return tree;
}

DraftTree propose_fresh(const std::vector<int32_t>& history, int32_t nodes_max,
                        TreeShape shape = TreeShape::kBestFirst) {
  Ngram ngram(1, kVocab);
  ngram.open(0, 1000);
  return propose(ngram, history, nodes_max, shape);
}

TEST(Ngram, DraftsWhatFollowedBefore) {
  struct Case {
    const char* name;
    std::vector<int32_t> history;
    int32_t nodes_max;
    const char* want;
  };
  const Case cases[] = {
      {"one token", {1}, 4, ""},
      {"nothing repeats", {1, 2, 3, 4, 5}, 4, ""},
      {"one repeated token is not enough", {1, 2, 3, 1}, 4, ""},
      {"a pair repeats", {1, 2, 3, 4, 9, 1, 2}, 3, "3<-1 4<0 9<1 "},
      {"budget of one", {1, 2, 3, 4, 9, 1, 2}, 1, "3<-1 "},
      {"no budget", {1, 2, 3, 4, 9, 1, 2}, 0, ""},
      {"the longest match wins over the newest", {5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}, 1, "7<-1 "},
      {"the newest of equal matches comes first", {1, 2, 7, 0, 1, 2, 8, 0, 5, 1, 2}, 2, "8<-1 7<-1 "},
      {"more occurrences come first", {1, 2, 7, 3, 1, 2, 7, 4, 1, 2, 8, 5, 1, 2}, 2, "7<-1 8<-1 "},
      {"a period goes on in itself", {4, 4, 4}, 5, "4<-1 4<0 4<1 4<2 4<3 "},
      {"a period of two", {9, 1, 2, 1, 2}, 4, "1<-1 2<0 1<1 2<2 "},
  };
  for (const Case& c : cases) EXPECT_EQ(text(propose_fresh(c.history, c.nodes_max)), c.want) << c.name;
}

TEST(Ngram, OccurrencesShareABeginning) {
  // After "1 2" once came 7 3 and once 7 4; the two agree on 7.
  const std::vector<int32_t> history = {1, 2, 7, 3, 0, 1, 2, 7, 4, 0, 5, 1, 2};
  EXPECT_EQ(text(propose_fresh(history, 3)), "7<-1 4<0 3<0 ");
  EXPECT_EQ(text(propose_fresh(history, 3, TreeShape::kChain)), "7<-1 4<0 0<1 ");
}

TEST(Ngram, ScoresAreTheOddsAmongWhatTheChildrenBeforeLeave) {
  // Three tokens repeat, and then the next does in 0.5 of all cases: 7 twice of three times, 8 once.
  const std::vector<int32_t> history = {3, 1, 2, 7, 4, 3, 1, 2, 7, 5, 3, 1, 2, 8, 6, 3, 1, 2};
  const DraftTree tree = propose_fresh(history, 2);
  ASSERT_EQ(text(tree), "7<-1 8<-1 ");
  const double first = 0.5 * 2 / 3;
  const double second = 0.5 / 3;
  EXPECT_NEAR(tree.nodes[0].path_probability, first, 2e-5);
  EXPECT_NEAR(tree.nodes[1].path_probability, second, 2e-5);
  EXPECT_NEAR(tree.nodes[0].score, std::log(first / (1 - first)), 1e-5);
  EXPECT_NEAR(tree.nodes[1].score, std::log(second / (1 - first - second)), 1e-5);
  for (int rank : {0, 1}) {
    EXPECT_EQ(tree.nodes[static_cast<size_t>(rank)].rank, rank);
    EXPECT_EQ(tree.nodes[static_cast<size_t>(rank)].depth, 1);
    EXPECT_EQ(tree.nodes[static_cast<size_t>(rank)].source, DraftSource::kNgram);
  }
}

TEST(Ngram, ADrawnChainIsCertainOfItsTokens) {
  Ngram ngram(1, kVocab);
  ngram.open(0, 100);
  const std::vector<int32_t> history = {1, 2, 7, 3, 0, 1, 2, 7, 4, 0, 5, 1, 2};
  ProposeRequest request;
  request.history = history;
  request.temperature = 1.0;
  request.nodes_max = 3;
  request.use_ngram = true;
  request.draw = true;
  DraftTree tree;
  ngram.propose(std::span(&request, 1), std::span(&tree, 1));
  ASSERT_EQ(text(tree), "7<-1 4<0 0<1 ");
  ASSERT_EQ(tree.probability.size(), static_cast<size_t>(3 * kVocab));
  for (size_t i = 0; i < 3; ++i)
    for (int32_t v = 0; v < kVocab; ++v)
      EXPECT_EQ(tree.probability[i * kVocab + static_cast<size_t>(v)], v == tree.nodes[i].token ? 1.0 : 0.0);
}

TEST(Ngram, SaysNothingUnlessAsked) {
  Ngram ngram(1, kVocab);
  ngram.open(0, 100);
  const std::vector<int32_t> history = {1, 2, 3, 1, 2};
  ProposeRequest request;
  request.history = history;
  request.nodes_max = 3;
  DraftTree tree;
  tree.nodes.resize(2);  // left over from another step
  ngram.propose(std::span(&request, 1), std::span(&tree, 1));
  EXPECT_TRUE(tree.nodes.empty());
  request.use_ngram = true;
  ngram.propose(std::span(&request, 1), std::span(&tree, 1));
  EXPECT_FALSE(tree.nodes.empty());
}

TEST(Ngram, DepthIsLimited) {
  std::vector<int32_t> history(50, 3);
  const DraftTree tree = propose_fresh(history, 100);
  EXPECT_EQ(tree.nodes.size(), static_cast<size_t>(Ngram::kDepthMax));
}

TEST(Ngram, AClosedSequenceLeavesNothing) {
  Ngram ngram(1, kVocab);
  ngram.open(0, 100);
  EXPECT_EQ(text(propose(ngram, {1, 2, 3, 1, 2}, 1)), "3<-1 ");
  ngram.close(0);
  ngram.open(0, 100);
  EXPECT_EQ(text(propose(ngram, {6, 1, 2}, 1)), "");
  EXPECT_EQ(text(propose(ngram, {6, 1, 2, 8, 1, 2}, 1)), "8<-1 ");
}

TEST(Ngram, SequencesDoNotMix) {
  Ngram ngram(2, kVocab);
  ngram.open(0, 100);
  ngram.open(1, 100);
  EXPECT_EQ(text(propose(ngram, {1, 2, 3, 1, 2}, 1, TreeShape::kBestFirst, 0)), "3<-1 ");
  EXPECT_EQ(text(propose(ngram, {7, 1, 2}, 1, TreeShape::kBestFirst, 1)), "");
}

// The definition, by scanning everything.
NgramMatch scan(const std::vector<int32_t>& history) {
  const auto size = static_cast<int64_t>(history.size());
  NgramMatch match;
  for (int32_t length = NgramIndex::kLengthMax; length >= NgramIndex::kLengthMin && match.count == 0;
       --length) {
    for (int64_t end = size - 2; end >= length - 1 && match.count < NgramMatch::kOccurrencesMax; --end)
      if (length <= size &&
          std::equal(history.end() - length, history.end(), history.begin() + end + 1 - length))
        match.ends[static_cast<size_t>(match.count++)] = end;
    match.length = match.count > 0 ? length : 0;
  }
  return match;
}

TEST(NgramIndex, EqualsAFullScanAtEveryLength) {
  std::mt19937 random(11);
  for (int32_t vocabulary : {3, 12, 60}) {
    NgramIndex index;
    index.reset(300);
    std::vector<int32_t> history;
    while (history.size() < 300) {
      // Grows by one to five tokens, as accepted drafts make it grow.
      const auto growth = std::uniform_int_distribution<size_t>(1, 5)(random);
      for (size_t i = 0; i < growth; ++i)
        history.push_back(std::uniform_int_distribution<int32_t>(0, vocabulary - 1)(random));
      history.resize(std::min<size_t>(history.size(), 300));
      const NgramMatch got = index.find(history);
      const NgramMatch want = scan(history);
      // Links of other runs in a bucket may use up the walk of a small vocabulary; never so here.
      ASSERT_EQ(got.length, want.length) << vocabulary << " at " << history.size();
      ASSERT_EQ(got.count, want.count) << vocabulary << " at " << history.size();
      EXPECT_EQ(got.ends, want.ends);
    }
  }
}

TEST(NgramIndex, AHistoryOfOneTokenStaysCheap) {
  NgramIndex index;
  index.reset(200000);
  std::vector<int32_t> history;
  // Quadratic work would take minutes.
  for (int i = 0; i < 200000; ++i) {
    history.push_back(7);
    if (i % 3 == 0) {
      const NgramMatch match = index.find(history);
      ASSERT_EQ(match.count, std::min<int64_t>(std::max(i - 3, i > 0 ? 1 : 0), NgramMatch::kOccurrencesMax))
          << i;
    }
  }
}

}  // namespace
}  // namespace ft::draft
