// A sequence that continues from a snapshot drafts as if it had observed the prefix itself, bit for bit.
#include <gtest/gtest.h>

#include <random>

#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

struct SnapshotCase {
  const char* model;
  DrafterChoice kind;
  Numerics numerics;
  const char* name;
};

std::vector<int32_t> random_tokens(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = std::uniform_int_distribution<int32_t>(0, 500)(random);
  return tokens;
}

// The states of the target and of the drafter after some tokens.
struct Prefix {
  std::shared_ptr<KvSnapshot> target;
  std::unique_ptr<DraftSnapshot> draft;
  int64_t length = 0;
};

class DrafterSnapshot : public ::testing::TestWithParam<SnapshotCase> {
 protected:
  // Beyond the window of 16.
  static constexpr size_t kTokens = 46;

  // After the first `committed - behind` tokens.
  Prefix save(const Growing& growing, int64_t behind = 0) {
    const int64_t length = growing.committed - behind;
    Prefix prefix{harness_.loaded.model->cache().snapshot(growing.id, length),
                  harness_.drafter->snapshot(growing.id, length), length};
    EXPECT_NE(prefix.target, nullptr);
    return prefix;
  }
  Growing open(const Prefix& prefix, std::vector<int32_t> tokens) {
    Growing growing{*harness_.loaded.model->cache().open(512, *prefix.target), std::move(tokens),
                    prefix.length};
    harness_.drafter->open(growing.id, 512, prefix.draft.get());
    return growing;
  }
  void advance_to(Growing& growing, int64_t length, int64_t chunk) {
    Growing* one[] = {&growing};
    while (growing.committed < length) harness_.advance(one, std::min(chunk, length - growing.committed));
  }
  // Of a sequence that saw everything itself.
  std::string opinion_of(const std::vector<int32_t>& tokens) {
    Growing growing = harness_.open(tokens);
    harness_.advance_all_but_anchor(growing, 6);
    const std::string opinion = harness_.opinion(growing);
    harness_.close(growing);
    return opinion;
  }

  DraftHarness harness_{std::string(FT_TEST_DATA "/goldens/") + GetParam().model, "cpu1", GetParam().numerics,
                        GetParam().kind};
};

TEST_P(DrafterSnapshot, ContinuesAsTheOriginalInAnyChunks) {
  const auto tokens = random_tokens(kTokens, 1);
  const std::string want = opinion_of(tokens);
  for (int64_t length : {1, 2, 15, 16, 17, 33, 44, 45})
    for (bool asked : {false, true}) {
      Growing original = harness_.open(tokens);
      advance_to(original, length, 5);
      if (asked) harness_.opinion(original);
      const Prefix prefix = save(original);
      for (int64_t chunk : {1, 8, 64}) {
        Growing continued = open(prefix, tokens);
        harness_.advance_all_but_anchor(continued, chunk);
        EXPECT_EQ(harness_.opinion(continued), want) << "from " << length << " in chunks of " << chunk;
        harness_.close(continued);
      }
      // Taking a snapshot has changed nothing.
      harness_.advance_all_but_anchor(original, 7);
      EXPECT_EQ(harness_.opinion(original), want) << "the original, after " << length;
      harness_.close(original);
    }
}

TEST_P(DrafterSnapshot, OfFewerTokensThanWereObserved) {
  // Longer than the rows that are kept.
  const auto tokens = random_tokens(120, 9);
  for (int64_t length : {1, 16, 20, 70})
    for (int64_t behind : {1, 6, 31, 32})
      for (bool asked : {false, true}) {
        Growing original = harness_.open(tokens);
        advance_to(original, length, 5);
        if (asked) harness_.opinion(original);
        advance_to(original, length + behind, 3);
        if (asked) harness_.opinion(original);
        const Prefix prefix = save(original, behind);
        harness_.close(original);
        auto others = std::vector<int32_t>(tokens.begin(), tokens.begin() + length + 9);
        for (size_t i = static_cast<size_t>(length); i < others.size(); ++i) others[i] ^= 1;
        Growing continued = open(prefix, others);
        harness_.advance_all_but_anchor(continued, 2);
        EXPECT_EQ(harness_.opinion(continued), opinion_of(others)) << length << " of " << length + behind;
        harness_.close(continued);
      }
}

TEST_P(DrafterSnapshot, OutlivesItsSequence) {
  const auto tokens = random_tokens(kTokens, 2);
  const std::string want = opinion_of(tokens);
  Growing original = harness_.open(tokens);
  advance_to(original, 29, 5);
  const Prefix prefix = save(original);
  harness_.close(original);
  // The slots see other use in between.
  opinion_of(random_tokens(60, 3));
  Growing continued = open(prefix, tokens);
  harness_.advance_all_but_anchor(continued, 4);
  EXPECT_EQ(harness_.opinion(continued), want);
}

TEST_P(DrafterSnapshot, ContinuesWithOtherTokens) {
  const auto tokens = random_tokens(kTokens, 4);
  for (int64_t length : {9, 30}) {
    Growing original = harness_.open(tokens);
    advance_to(original, length, 5);
    harness_.opinion(original);
    const Prefix prefix = save(original);
    harness_.close(original);
    auto others = tokens;
    for (size_t i = static_cast<size_t>(length); i < others.size(); ++i) others[i] ^= 1;
    for (size_t count : {static_cast<size_t>(length) + 1, static_cast<size_t>(length) + 4, kTokens}) {
      others.resize(std::min(count, others.size()));
      const std::vector<int32_t> continued_tokens(others.begin(), others.end());
      Growing continued = open(prefix, continued_tokens);
      harness_.advance_all_but_anchor(continued, 2);
      EXPECT_EQ(harness_.opinion(continued), opinion_of(continued_tokens)) << length << " to " << count;
      harness_.close(continued);
    }
  }
}

TEST_P(DrafterSnapshot, OfASequenceThatContinuesASnapshot) {
  const auto tokens = random_tokens(kTokens, 5);
  const std::string want = opinion_of(tokens);
  // Steps shorter and longer than the window; nobody asks in between.
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{5, 6, 9, 20}, {3, 30}, {20, 21, 43}}) {
    Growing growing = harness_.open(tokens);
    for (int64_t length : lengths) {
      advance_to(growing, length, 3);
      const Prefix prefix = save(growing);
      harness_.close(growing);
      growing = open(prefix, tokens);
    }
    harness_.advance_all_but_anchor(growing, 4);
    EXPECT_EQ(harness_.opinion(growing), want) << lengths.size() << " snapshots";
    harness_.close(growing);
  }
}

TEST_P(DrafterSnapshot, OfASequenceObservedFromItsMiddle) {
  const auto tokens = random_tokens(kTokens, 6);
  Growing original = harness_.open(tokens);
  original.watched = false;
  advance_to(original, 20, 20);
  original.watched = true;
  advance_to(original, 27, 3);
  const Prefix prefix = save(original);
  harness_.advance_all_but_anchor(original, 5);
  Growing continued = open(prefix, tokens);
  harness_.advance_all_but_anchor(continued, 2);
  EXPECT_EQ(harness_.opinion(continued), harness_.opinion(original));
}

TEST_P(DrafterSnapshot, OfNothingIsNothing) {
  Growing growing = harness_.open(random_tokens(5, 7));
  EXPECT_EQ(harness_.drafter->snapshot(growing.id, 0), nullptr);
}

TEST_P(DrafterSnapshot, SaysHowMuchItHolds) {
  const ModelConfig& config = harness_.loaded.model->config();
  Growing growing = harness_.open(random_tokens(kTokens, 8));
  advance_to(growing, 40, 40);
  const int64_t window = config.sliding_window;
  const bool dspark = config.dspark.stage_count > 0;
  const int64_t feature_row =
      (dspark ? config.auxiliary_cols() : config.hc_mult * config.hidden_size) * 4 + 4;  // and its token
  EXPECT_EQ(save(growing).draft->bytes(), window * feature_row) << "of a draft that was never asked";
  harness_.opinion(growing);
  const RowFormat format = harness_.loaded.backend->cache_format();
  const int64_t keys = window * key_bytes(format, config.head_dim, config.qk_rope_head_dim);
  EXPECT_EQ(save(growing).draft->bytes(), dspark ? config.dspark.stage_count * keys : keys + feature_row);
}

INSTANTIATE_TEST_SUITE_P(
    Tiny, DrafterSnapshot,
    ::testing::Values(SnapshotCase{"tiny-v4-dspark", support::drafter("dspark"), Numerics::kOfficial,
                                   "dspark"},
                      SnapshotCase{"tiny-v4", support::drafter("mtp"), Numerics::kOfficial, "mtp"},
                      SnapshotCase{"tiny-v4", support::drafter("mtp+ngram"), Numerics::kExact, "mtp_ngram"}),
    [](const auto& case_info) { return case_info.param.name; });

TEST(NgramSnapshot, NeedsNothing) {
  DraftHarness harness(FT_TEST_DATA "/goldens/tiny-v4", "cpu1", Numerics::kExact, support::drafter("ngram"));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 20; ++i) tokens.push_back(i % 5);
  Growing growing = harness.open(tokens);
  harness.advance_all_but_anchor(growing, 3);
  const std::string want = harness.opinion(growing);
  EXPECT_EQ(harness.drafter->snapshot(growing.id, 3), nullptr);
  harness.drafter->close(growing.id);
  harness.drafter->open(growing.id, 512);
  EXPECT_EQ(harness.opinion(growing), want);
}

}  // namespace
}  // namespace ft::draft
