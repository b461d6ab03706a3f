// A model and prompt lookup in one drafter: which of them proposes, and that neither changes the other's
// drafts.
#include <gtest/gtest.h>

#include "draft/dspark.h"
#include "draft/mtp.h"
#include "draft/ngram.h"
#include "draft/tree_merge.h"
#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

struct CombinedCase {
  const char* model;
  DrafterChoice kind;
  const char* name;
};

class CombinedDrafter : public ::testing::TestWithParam<CombinedCase> {
 protected:
  CombinedDrafter() {
    for (int32_t i = 0; i < 31; ++i) tokens_.push_back(100 + i % 7);
  }

  ProposeRequest request(const Growing& growing, bool use_model, bool use_ngram,
                         double temperature = 0.0) const {
    ProposeRequest request = harness_.request(growing, temperature, 12);
    request.use_model = use_model;
    request.use_ngram = use_ngram;
    return request;
  }
  DraftTree ask(const ProposeRequest& request) {
    DraftTree tree;
    harness_.drafter->propose(std::span(&request, 1), std::span(&tree, 1));
    return tree;
  }

  DraftHarness harness_{std::string(FT_TEST_DATA "/goldens/") + GetParam().model, "cpu1", Numerics::kExact,
                        GetParam().kind};
  std::vector<int32_t> tokens_;
};

TEST_P(CombinedDrafter, EachRequestChoosesItsSources) {
  Growing growing = harness_.open(tokens_);
  harness_.advance_all_but_anchor(growing, 8);
  Ngram ngram(4, 512);
  ngram.open(growing.id, 512);
  for (double temperature : {0.0, 0.9}) {
    const DraftTree of_model = ask(request(growing, true, false, temperature));
    const DraftTree of_ngram = ask(request(growing, false, true, temperature));
    EXPECT_FALSE(of_model.nodes.empty());
    for (const DraftNode& node : of_model.nodes) EXPECT_EQ(node.source, DraftSource::kModel);
    const ProposeRequest ngram_request = request(growing, false, true, temperature);
    DraftTree alone;
    ngram.propose(std::span(&ngram_request, 1), std::span(&alone, 1));
    EXPECT_EQ(tree_text(of_ngram), tree_text(alone));
    EXPECT_FALSE(alone.nodes.empty());

    const ProposeRequest both = request(growing, true, true, temperature);
    DraftTree want;
    TreeMerge(12).merge(both, of_model, of_ngram, want);
    EXPECT_EQ(tree_text(ask(both)), tree_text(want));
    EXPECT_EQ(want.nodes.size(), 12u);
  }
}

TEST_P(CombinedDrafter, RequestsOfOneCallMayDiffer) {
  std::vector<Growing> growing;
  for (int i = 0; i < 4; ++i) {
    tokens_.push_back(100 + (31 + i) % 7);
    growing.push_back(harness_.open(tokens_));
    harness_.advance_all_but_anchor(growing.back(), 8);
  }
  std::vector<ProposeRequest> requests = {request(growing[0], false, true), request(growing[1], true, true),
                                          request(growing[2], true, false), request(growing[3], true, true)};
  requests[3].nodes_max = 0;
  std::vector<DraftTree> trees(4);
  for (DraftTree& tree : trees) {  // left over from another step
    tree.nodes.resize(2);
    tree.probability.resize(3);
  }
  harness_.drafter->propose(requests, trees);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(tree_text(trees[i]), tree_text(ask(requests[i]))) << i;
    EXPECT_TRUE(trees[i].probability.empty());
  }
  EXPECT_TRUE(trees[3].nodes.empty());
  EXPECT_TRUE(trees[3].probability.empty());
}

TEST_P(CombinedDrafter, ADrawnChainIsOfOneSource) {
  Growing growing = harness_.open(tokens_);
  harness_.advance_all_but_anchor(growing, 8);
  ProposeRequest drawn = request(growing, true, true, 1.0);
  drawn.draw = true;
  const DraftTree of_model = ask(drawn);
  for (const DraftNode& node : of_model.nodes) EXPECT_EQ(node.source, DraftSource::kModel);
  EXPECT_EQ(of_model.probability.size(), of_model.nodes.size() * 512);
  drawn.use_model = false;
  const DraftTree of_ngram = ask(drawn);
  ASSERT_FALSE(of_ngram.nodes.empty());
  for (const DraftNode& node : of_ngram.nodes) EXPECT_EQ(node.source, DraftSource::kNgram);
  EXPECT_EQ(of_ngram.probability.size(), of_ngram.nodes.size() * 512);
}

TEST_P(CombinedDrafter, NgramsSpeakBeforeTheModelHasSeenAnything) {
  Growing growing = harness_.open(tokens_);
  growing.watched = false;
  harness_.advance_all_but_anchor(growing, 30);
  EXPECT_TRUE(ask(request(growing, true, false)).nodes.empty());
  EXPECT_EQ(tree_text(ask(request(growing, true, true))), tree_text(ask(request(growing, false, true))));
}

INSTANTIATE_TEST_SUITE_P(Tiny, CombinedDrafter,
                         ::testing::Values(CombinedCase{"tiny-v4-dspark", support::drafter("dspark"),
                                                        "dspark"},
                                           CombinedCase{"tiny-v4", support::drafter("mtp"), "mtp"}),
                         [](const auto& case_info) { return case_info.param.name; });

}  // namespace
}  // namespace ft::draft
