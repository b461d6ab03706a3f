// A draft is a function of the committed tokens and the request alone, bit for bit: not of the chunks in
// which the drafter saw them, of rejected rows beside them, of other sequences, or of who had the slot
// before.
#include <gtest/gtest.h>

#include <random>

#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

struct InvarianceCase {
  const char* model;
  DrafterChoice kind;
  const char* backend;
  Numerics numerics;
};

std::string case_name(const InvarianceCase& c) {
  std::string drafter(drafter_name(c.kind.model == nullptr ? "" : c.kind.model->name, c.kind.ngram));
  std::ranges::replace(drafter, '+', '_');
  return fmt::format("{}_{}_{}", drafter, c.backend, c.numerics == Numerics::kExact ? "exact" : "official");
}

void PrintTo(const InvarianceCase& c, std::ostream* out) {
  *out << case_name(c);
}

std::vector<int32_t> random_tokens(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  // Few distinct tokens, so that prompt lookup has something to say; 500 of 512 in the vocabulary.
  for (int32_t& token : tokens) token = 10 * std::uniform_int_distribution<int32_t>(0, 5)(random) + 200;
  return tokens;
}

class DrafterInvariance : public ::testing::TestWithParam<InvarianceCase> {
 protected:
  DraftHarness harness_{std::string(FT_TEST_DATA "/goldens/") + GetParam().model, GetParam().backend,
                        GetParam().numerics, GetParam().kind};
};

TEST_P(DrafterInvariance, OfTheChunksObserved) {
  // Beyond the window of 16, across blocks of 4 and 16.
  const auto tokens = random_tokens(46, 1);
  std::string want;
  for (int64_t chunk : {45, 1, 7, 20}) {
    Growing growing = harness_.open(tokens);
    harness_.advance_all_but_anchor(growing, chunk);
    const std::string got = harness_.opinion(growing);
    if (want.empty()) want = got;
    EXPECT_EQ(got, want) << "chunks of " << chunk;
    EXPECT_GT(got.size(), 100u);
    harness_.close(growing);
  }
}

TEST_P(DrafterInvariance, OfWhenItWasAsked) {
  // Gaps without a question are shorter and longer than the window of 16, at the beginning and later.
  const auto tokens = random_tokens(60, 9);
  std::string want;
  for (const std::vector<int64_t>& asked_at : {std::vector<int64_t>{},
                                               {1, 2, 3, 4, 5, 6, 7, 8},
                                               {3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 59},
                                               {17, 18, 50},
                                               {45, 46},
                                               {4, 20}}) {
    Growing growing = harness_.open(tokens);
    Growing* one[] = {&growing};
    for (int64_t at : asked_at) {
      while (growing.committed < at) harness_.advance(one, std::min<int64_t>(7, at - growing.committed));
      harness_.opinion(growing);
    }
    harness_.advance_all_but_anchor(growing, 4);
    const std::string got = harness_.opinion(growing);
    if (want.empty()) want = got;
    EXPECT_EQ(got, want) << asked_at.size() << " questions";
    harness_.close(growing);
  }
}

TEST_P(DrafterInvariance, OfHowMuchThereIsToCatchUp) {
  // Four windows of 16 rows at once, in calls of at most 28 and 24 rows.
  DraftHarness narrow(std::string(FT_TEST_DATA "/goldens/") + GetParam().model, GetParam().backend,
                      GetParam().numerics, GetParam().kind, 24);
  std::vector<Growing> all;
  for (uint32_t i = 0; i < 4; ++i) all.push_back(narrow.open(random_tokens(30 + 3 * i, 20 + i)));
  for (Growing& growing : all) narrow.advance_all_but_anchor(growing, 11);
  std::vector<ProposeRequest> requests;
  for (const Growing& growing : all) requests.push_back(narrow.request(growing, 0.8, 9));
  std::vector<DraftTree> trees(all.size());
  narrow.drafter->propose(requests, trees);
  for (size_t i = 0; i < all.size(); ++i) {
    Growing alone = all[i];
    narrow.close(all[i]);
    alone = narrow.open(alone.tokens);
    Growing* one[] = {&alone};
    while (alone.committed + 1 < static_cast<int64_t>(alone.tokens.size())) {
      narrow.advance(one, 1);
      narrow.propose(alone, 0.0, 1);
    }
    EXPECT_EQ(tree_text(narrow.propose(alone, 0.8, 9)), tree_text(trees[i])) << i;
    narrow.close(alone);
  }
}

TEST_P(DrafterInvariance, OfTheTokensBeforeWhatWasObserved) {
  // Observed from position 20 on: a context of the rows since then, whoever had the slot before.
  std::string want;
  for (uint32_t others = 0; others < 3; ++others) {
    if (others > 0) {
      Growing other = harness_.open(random_tokens(50, 30 + others));
      harness_.advance_all_but_anchor(other, 9);
      harness_.opinion(other);
      harness_.close(other);
    }
    Growing growing = harness_.open(random_tokens(27, 10));
    Growing* one[] = {&growing};
    growing.watched = false;
    harness_.advance(one, 20);
    if (harness_.drafter->has_model() && !harness_.sources.use_ngram) {
      EXPECT_TRUE(harness_.propose(growing, 0.0, 5).nodes.empty());
    }
    growing.watched = true;
    harness_.advance_all_but_anchor(growing, 4);
    const std::string got = harness_.opinion(growing);
    if (want.empty()) want = got;
    EXPECT_EQ(got, want) << others;
    EXPECT_GT(got.size(), 100u);
    harness_.close(growing);
  }
}

TEST_P(DrafterInvariance, OfTheNextTokenThatWasForetold) {
  // The anchor is the one of the request, whatever the last observation said would come.
  const auto tokens = random_tokens(31, 11);
  Growing growing = harness_.open(tokens);
  harness_.advance_all_but_anchor(growing, 5);
  const std::string want = harness_.opinion(growing);
  harness_.close(growing);
  Growing other = harness_.open(tokens);
  other.tokens.back() ^= 1;
  harness_.advance_all_but_anchor(other, 5);
  if (harness_.sources.use_model) {
    EXPECT_NE(harness_.opinion(other), want);
  }
  other.tokens.back() ^= 1;
  EXPECT_EQ(harness_.opinion(other), want);
}

TEST_P(DrafterInvariance, OfRejectedRows) {
  const auto tokens = random_tokens(40, 2);
  Growing plain = harness_.open(tokens);
  harness_.advance_all_but_anchor(plain, 5);
  Growing among_decoys = harness_.open(tokens);
  harness_.advance_all_but_anchor(among_decoys, 5, true);
  EXPECT_EQ(harness_.opinion(among_decoys), harness_.opinion(plain));
}

TEST_P(DrafterInvariance, OfAskingTwice) {
  Growing growing = harness_.open(random_tokens(30, 3));
  harness_.advance_all_but_anchor(growing, 64);
  const std::string first = harness_.opinion(growing);
  EXPECT_EQ(harness_.opinion(growing), first);
}

TEST_P(DrafterInvariance, OfTheOtherSequences) {
  Growing a = harness_.open(random_tokens(41, 4));
  Growing b = harness_.open(random_tokens(12, 5));
  Growing c = harness_.open(random_tokens(23, 6));
  Growing* all[] = {&a, &b, &c};
  // Together while all have tokens, in steps of 3; then each to its own end.
  for (int step = 0; step < 3; ++step) harness_.advance(all, 3);
  for (Growing* growing : all) harness_.advance_all_but_anchor(*growing, 2);
  for (double temperature : {0.0, 0.8}) {
    const ProposeRequest requests[] = {harness_.request(c, temperature, 9, TreeShape::kBestFirst),
                                       harness_.request(a, temperature, 0, TreeShape::kBestFirst),
                                       harness_.request(b, temperature, 5, TreeShape::kChain),
                                       harness_.request(a, temperature, 15, TreeShape::kBestFirst)};
    DraftTree trees[4];
    trees[1].nodes.resize(3);  // left over from an earlier step
    // One request per sequence and step; the idle sequence is one that does not speculate.
    const ProposeRequest batch[] = {requests[0], requests[2], requests[3]};
    DraftTree batch_trees[3];
    harness_.drafter->propose(batch, batch_trees);
    EXPECT_EQ(tree_text(batch_trees[0]), tree_text(harness_.propose(c, temperature, 9)));
    EXPECT_EQ(tree_text(batch_trees[1]), tree_text(harness_.propose(b, temperature, 5, TreeShape::kChain)));
    EXPECT_EQ(tree_text(batch_trees[2]), tree_text(harness_.propose(a, temperature, 15)));
    harness_.drafter->propose(std::span(requests).first(2), std::span(trees).first(2));
    EXPECT_EQ(tree_text(trees[0]), tree_text(batch_trees[0]));
    EXPECT_TRUE(trees[1].nodes.empty());
  }
}

TEST_P(DrafterInvariance, OfWhoHadTheSlotBefore) {
  const auto tokens = random_tokens(20, 7);
  Growing first = harness_.open(tokens);
  harness_.advance_all_but_anchor(first, 64);
  const std::string want = harness_.opinion(first);
  harness_.close(first);
  Growing other = harness_.open(random_tokens(60, 8));
  harness_.advance_all_but_anchor(other, 9);
  harness_.opinion(other);
  EXPECT_EQ(other.id, first.id);
  harness_.close(other);
  Growing again = harness_.open(tokens);
  harness_.advance_all_but_anchor(again, 64);
  EXPECT_EQ(harness_.opinion(again), want);
}

// Rotary positions are relative: once a window of rows is observed, what came before makes no difference but
// for rounding.
TEST(DrafterContext, AWindowIsAllThatCounts) {
  for (const auto& [model, kind] : {std::pair{"tiny-v4-dspark", support::drafter("dspark")},
                                    std::pair{"tiny-v4", support::drafter("mtp")}}) {
    DraftHarness harness(std::string(FT_TEST_DATA "/goldens/") + model, "cpu1", Numerics::kExact, kind);
    const auto tokens = random_tokens(60, 12);
    Growing whole = harness.open(tokens);
    harness.advance_all_but_anchor(whole, 7);
    Growing part = harness.open(tokens);
    Growing* one[] = {&part};
    part.watched = false;
    harness.advance(one, 43);
    part.watched = true;
    harness.advance(one, 10);
    const DraftTree few = harness.propose(part, 0.0, 12);
    harness.advance_all_but_anchor(part, 3);  // 16 rows
    const DraftTree want = harness.propose(whole, 0.0, 12);
    const DraftTree got = harness.propose(part, 0.0, 12);
    ASSERT_EQ(got.nodes.size(), want.nodes.size());
    for (size_t i = 0; i < want.nodes.size(); ++i) {
      EXPECT_EQ(got.nodes[i].token, want.nodes[i].token) << model << " " << i;
      EXPECT_NEAR(got.nodes[i].path_probability, want.nodes[i].path_probability, 1e-4) << model << " " << i;
    }
    EXPECT_FALSE(few.nodes.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tiny, DrafterInvariance,
    ::testing::Values(
        InvarianceCase{"tiny-v4-dspark", support::drafter("dspark"), "cpu1", Numerics::kExact},
        InvarianceCase{"tiny-v4-dspark", support::drafter("dspark"), "cpu1", Numerics::kOfficial},
        InvarianceCase{"tiny-v4", support::drafter("mtp"), "cpu1", Numerics::kExact},
        InvarianceCase{"tiny-v4", support::drafter("mtp"), "cpu1", Numerics::kOfficial},
        InvarianceCase{"tiny-v4", support::drafter("ngram"), "cpu1", Numerics::kExact},
        InvarianceCase{"tiny-v4-dspark", support::drafter("dspark+ngram"), "cpu1", Numerics::kExact},
        InvarianceCase{"tiny-v4", support::drafter("mtp+ngram"), "cpu1", Numerics::kExact}),
    [](const auto& case_info) { return case_name(case_info.param); });

INSTANTIATE_TEST_SUITE_P(
    FullTiny, DrafterInvariance,
    ::testing::Values(
        InvarianceCase{"tiny-v4-dspark", support::drafter("dspark"), "reference", Numerics::kExact},
        InvarianceCase{"tiny-v4-dspark", support::drafter("dspark"), "cpu", Numerics::kOfficial},
        InvarianceCase{"tiny-v4", support::drafter("mtp"), "reference", Numerics::kOfficial},
        InvarianceCase{"tiny-v4", support::drafter("mtp"), "cpu", Numerics::kExact}),
    [](const auto& case_info) { return case_name(case_info.param); });

}  // namespace
}  // namespace ft::draft
