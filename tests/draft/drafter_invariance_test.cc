// A draft is a function of the committed tokens and the request alone, bit for bit: not of the chunks in
// which the drafter saw them, of rejected rows beside them, of other sequences, or of who had the slot
// before.
#include <gtest/gtest.h>

#include <random>

#include "tests/draft/draft_harness.h"

namespace ft::draft {
namespace {

struct InvarianceCase {
  const char* model;
  DrafterKind kind;
  const char* backend;
  Numerics numerics;
};

std::string case_name(const InvarianceCase& c) {
  constexpr const char* kKinds[] = {"auto", "dspark", "mtp", "ngram", "none"};
  return fmt::format("{}_{}_{}", kKinds[static_cast<int>(c.kind)], c.backend,
                     c.numerics == Numerics::kExact ? "exact" : "official");
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

TEST_P(DrafterInvariance, of_the_chunks_observed) {
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

TEST_P(DrafterInvariance, of_rejected_rows) {
  const auto tokens = random_tokens(40, 2);
  Growing plain = harness_.open(tokens);
  harness_.advance_all_but_anchor(plain, 5);
  Growing among_decoys = harness_.open(tokens);
  harness_.advance_all_but_anchor(among_decoys, 5, true);
  EXPECT_EQ(harness_.opinion(among_decoys), harness_.opinion(plain));
}

TEST_P(DrafterInvariance, of_asking_twice) {
  Growing growing = harness_.open(random_tokens(30, 3));
  harness_.advance_all_but_anchor(growing, 64);
  const std::string first = harness_.opinion(growing);
  EXPECT_EQ(harness_.opinion(growing), first);
}

TEST_P(DrafterInvariance, of_the_other_sequences) {
  Growing a = harness_.open(random_tokens(41, 4));
  Growing b = harness_.open(random_tokens(12, 5));
  Growing c = harness_.open(random_tokens(23, 6));
  Growing* all[] = {&a, &b, &c};
  // Together while all have tokens, in steps of 3; then each to its own end.
  for (int step = 0; step < 3; ++step) harness_.advance(all, 3);
  for (Growing* growing : all) harness_.advance_all_but_anchor(*growing, 2);
  for (double temperature : {0.0, 0.8}) {
    const ProposeRequest requests[] = {DraftHarness::request(c, temperature, 9, TreeShape::kBestFirst),
                                       DraftHarness::request(a, temperature, 0, TreeShape::kBestFirst),
                                       DraftHarness::request(b, temperature, 5, TreeShape::kChain),
                                       DraftHarness::request(a, temperature, 15, TreeShape::kBestFirst)};
    DraftTree trees[4];
    trees[1].nodes.resize(3);  // left over from an earlier step
    // One request a sequence and step; the idle one stands for a sequence that does not speculate.
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

TEST_P(DrafterInvariance, of_who_had_the_slot_before) {
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

INSTANTIATE_TEST_SUITE_P(
    Tiny, DrafterInvariance,
    ::testing::Values(InvarianceCase{"tiny-v4-dspark", DrafterKind::kDspark, "cpu1", Numerics::kExact},
                      InvarianceCase{"tiny-v4-dspark", DrafterKind::kDspark, "cpu1", Numerics::kOfficial},
                      InvarianceCase{"tiny-v4", DrafterKind::kMtp, "cpu1", Numerics::kExact},
                      InvarianceCase{"tiny-v4", DrafterKind::kMtp, "cpu1", Numerics::kOfficial},
                      InvarianceCase{"tiny-v4", DrafterKind::kNgram, "cpu1", Numerics::kExact}),
    [](const auto& case_info) { return case_name(case_info.param); });

INSTANTIATE_TEST_SUITE_P(
    FullTiny, DrafterInvariance,
    ::testing::Values(InvarianceCase{"tiny-v4-dspark", DrafterKind::kDspark, "reference", Numerics::kExact},
                      InvarianceCase{"tiny-v4-dspark", DrafterKind::kDspark, "cpu", Numerics::kOfficial},
                      InvarianceCase{"tiny-v4", DrafterKind::kMtp, "reference", Numerics::kOfficial},
                      InvarianceCase{"tiny-v4", DrafterKind::kMtp, "cpu", Numerics::kExact}),
    [](const auto& case_info) { return case_name(case_info.param); });

}  // namespace
}  // namespace ft::draft
