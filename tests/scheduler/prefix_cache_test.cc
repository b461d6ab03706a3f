// What a radix tree of snapshots finds, keeps and gives up.
#include "scheduler/memory/prefix_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <random>
#include <unordered_map>

#include "core/backend.h"
#include "core/check.h"
#include "draft/none.h"
#include "scheduler/model_sequences.h"
#include "tests/scheduler/engine_harness.h"

namespace ft::scheduler {
namespace {

using Tokens = std::vector<int32_t>;

// `count` tokens that only this `text` has.
Tokens text(int32_t text, int32_t count) {
  Tokens tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), 10'000 * text);
  return tokens;
}

// Snapshots of a small cache: what matters here are their lengths and their pages, not their rows.
class PrefixCacheTest : public ::testing::Test {
 protected:
  static constexpr int64_t kRows = 128;

  static CacheLimits limits() {
    CacheLimits limits;
    limits.sequences = 2;
    limits.rows = kRows;
    limits.context = 1024;
    limits.total_tokens = 1024;
    return limits;
  }

  SharedSnapshot state(int64_t length, bool drafted = false) {
    const SequenceId sequence = *store_.open({.length = length, .length_max = length});
    for (int64_t done = 0; done < length; done += kRows) {
      std::vector<Row> rows;
      for (int32_t i = 0; i < kRows; ++i)
        rows.push_back({1, static_cast<int32_t>(done) + i, sequence, i - 1});
      std::vector<int32_t> path(rows.size());
      std::iota(path.begin(), path.end(), 0);
      KvTransaction transaction = cache_.begin();
      transaction.stage(rows);
      std::move(transaction).commit(path);
    }
    auto kept = std::make_shared<const Snapshot>(store_, store_.snapshot(sequence, length), drafted);
    store_.close(sequence);
    return kept;
  }
  static int64_t found(PrefixCache& prefixes, const Tokens& tokens, bool drafted = false) {
    return prefixes.find(tokens, static_cast<int64_t>(tokens.size()), drafted).length;
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend(Numerics::kExact);
  ModelConfig config_ = nano_config();
  KvCache cache_{*backend_, config_, {0, 4, 128}, limits()};
  draft::None drafter_;
  Intact intact_;
  ModelSequences store_{cache_, drafter_, intact_};
};

TEST_F(PrefixCacheTest, FindsTheLongestPrefixWithinTheLimit) {
  PrefixCache prefixes(1000);
  const Tokens tokens = text(1, 400);
  EXPECT_EQ(found(prefixes, tokens), 0);
  const SharedSnapshot shorter = state(128);
  const SharedSnapshot longer = state(384);
  prefixes.insert(std::span(tokens).first(128), shorter, 10);
  prefixes.insert(std::span(tokens).first(384), longer, 10);
  prefixes.check_integrity();
  EXPECT_EQ(prefixes.snapshots(), 2);
  const PrefixCache::Match match = prefixes.find(tokens, 400, false);
  EXPECT_EQ(match.length, 384);
  EXPECT_EQ(match.snapshot, longer);
  EXPECT_EQ(prefixes.find(tokens, 384, false).length, 384);
  // One token must stay to be run: it gives the first logits.
  EXPECT_EQ(prefixes.find(tokens, 383, false).snapshot, shorter);
  EXPECT_EQ(prefixes.find(tokens, 127, false).length, 0);
  EXPECT_EQ(prefixes.find(tokens, -1, false).length, 0);
  EXPECT_EQ(prefixes.find({}, 0, false).snapshot, nullptr);
  // The same beginning, then another text.
  Tokens other = tokens;
  other[200] = 7;
  EXPECT_EQ(found(prefixes, other), 128);
  other[127] = 7;
  EXPECT_EQ(found(prefixes, other), 0);
  EXPECT_EQ(found(prefixes, text(2, 400)), 0);
}

TEST_F(PrefixCacheTest, ABlockWithTheSameHashIsAnotherBlock) {
  // Two blocks that differ in their first three tokens and have the same FNV-1a hash, as the tree computes
  // it: after two tokens the hashes differ in their lowest bits only, and the third makes up for it.
  constexpr auto add = [](uint64_t hash, int32_t token) {
    return (hash ^ static_cast<uint32_t>(token)) * 0x100000001b3u;
  };
  std::mt19937_64 random(1);
  std::unordered_map<uint64_t, std::array<int32_t, 2>> seen;
  Tokens a, b;
  while (a.empty()) {
    const std::array<int32_t, 2> two = {static_cast<int32_t>(random() >> 33),
                                        static_cast<int32_t>(random() >> 33)};
    const auto hash_of = [&](const std::array<int32_t, 2>& tokens) {
      return add(add(0xcbf29ce484222325u, tokens[0]), tokens[1]);
    };
    const uint64_t hash = hash_of(two);
    const auto [match, fresh] = seen.try_emplace(hash >> 31, two);
    if (fresh) continue;
    const uint64_t other = hash_of(match->second);
    a = {two[0], two[1], 0};
    b = {match->second[0], match->second[1], static_cast<int32_t>(hash ^ other)};
    ASSERT_EQ(add(hash, a[2]), add(other, b[2]));
  }
  a.resize(128, 5);
  b.resize(128, 5);
  PrefixCache prefixes(1000);
  prefixes.insert(a, state(128), 10);
  EXPECT_EQ(found(prefixes, a), 128);
  EXPECT_EQ(found(prefixes, b), 0);
  const SharedSnapshot of_b = state(128);
  prefixes.insert(b, of_b, 10);
  EXPECT_EQ(prefixes.snapshots(), 2);
  EXPECT_EQ(prefixes.find(b, 128, false).snapshot, of_b);
  // One of the two goes, and only that one.
  EXPECT_TRUE(prefixes.evict_one());
  EXPECT_EQ(found(prefixes, a), 0);
  EXPECT_EQ(found(prefixes, b), 128);
  prefixes.check_integrity();
}

TEST_F(PrefixCacheTest, TheLeastRecentlyUsedGoesFirst) {
  PrefixCache prefixes(25);
  prefixes.insert(text(1, 128), state(128), 10);
  prefixes.insert(text(2, 128), state(128), 10);
  EXPECT_EQ(found(prefixes, text(1, 128)), 128);
  prefixes.insert(text(3, 128), state(128), 10);
  EXPECT_EQ(found(prefixes, text(1, 128)), 128);
  EXPECT_EQ(found(prefixes, text(2, 128)), 0);
  EXPECT_EQ(found(prefixes, text(3, 128)), 128);
  EXPECT_TRUE(prefixes.evict_one());
  EXPECT_EQ(found(prefixes, text(1, 128)), 0);
  EXPECT_EQ(found(prefixes, text(3, 128)), 128);
  EXPECT_TRUE(prefixes.evict_one());
  EXPECT_FALSE(prefixes.evict_one());
}

TEST_F(PrefixCacheTest, ErasesOneAndNothingElse) {
  PrefixCache prefixes(100);
  const Tokens tokens = text(1, 384);
  for (size_t length : {128, 256, 384})
    prefixes.insert(std::span(tokens).first(length), state(static_cast<int64_t>(length)), 10);
  prefixes.erase(std::span(tokens).first(256));
  prefixes.check_integrity();
  EXPECT_EQ(prefixes.snapshots(), 2);
  EXPECT_EQ(prefixes.bytes(), 20);
  EXPECT_EQ(found(prefixes, tokens), 384);
  EXPECT_EQ(prefixes.find(tokens, 383, false).length, 128);
  prefixes.erase(std::span(tokens).first(256));  // not there any more
  prefixes.erase(text(2, 128));                  // never was
  EXPECT_EQ(prefixes.snapshots(), 2);
}

TEST_F(PrefixCacheTest, StaysWithinItsBytes) {
  PrefixCache prefixes(100);
  prefixes.insert(text(1, 128), state(128), 101);
  EXPECT_EQ(prefixes.snapshots(), 0);
  for (int32_t i = 1; i <= 8; ++i) prefixes.insert(text(i, 128), state(128), 30);
  EXPECT_EQ(prefixes.bytes(), 90);
  EXPECT_EQ(prefixes.snapshots(), 3);
  prefixes.insert(text(9, 128), state(128), 100);
  EXPECT_EQ(prefixes.bytes(), 100);
  EXPECT_EQ(prefixes.snapshots(), 1);
  prefixes.check_integrity();
  PrefixCache none(0);
  EXPECT_FALSE(none.wants(text(1, 128), false));
  none.insert(text(1, 128), state(128), 0);
  EXPECT_EQ(none.snapshots(), 0);
}

TEST_F(PrefixCacheTest, WantsWholeBlocksThatItDoesNotHave) {
  PrefixCache prefixes(1000);
  EXPECT_TRUE(prefixes.wants(text(1, 256), false));
  EXPECT_FALSE(prefixes.wants(text(1, 255), false));
  EXPECT_FALSE(prefixes.wants({}, false));
  prefixes.insert(text(1, 256), state(256), 10);
  EXPECT_FALSE(prefixes.wants(text(1, 256), false));
  EXPECT_TRUE(prefixes.wants(text(1, 128), false));  // on the way to it, but no state there
  EXPECT_TRUE(prefixes.wants(text(1, 384), false));
}

TEST_F(PrefixCacheTest, ADrafterNeedsWhatItHasObserved) {
  PrefixCache prefixes(1000);
  prefixes.insert(text(1, 128), state(128, true), 10);
  prefixes.insert(text(1, 256), state(256, false), 20);
  EXPECT_EQ(found(prefixes, text(1, 256), false), 256);
  EXPECT_EQ(found(prefixes, text(1, 256), true), 128);
  EXPECT_TRUE(prefixes.wants(text(1, 256), true));
  EXPECT_FALSE(prefixes.wants(text(1, 256), false));
  // The better state takes the place of the other.
  const SharedSnapshot better = state(256, true);
  prefixes.insert(text(1, 256), better, 30);
  EXPECT_EQ(prefixes.snapshots(), 2);
  EXPECT_EQ(prefixes.bytes(), 40);
  EXPECT_EQ(prefixes.find(text(1, 256), 256, true).snapshot, better);
  // And is not replaced by a worse one.
  prefixes.insert(text(1, 256), state(256, false), 5);
  EXPECT_EQ(found(prefixes, text(1, 256), true), 256);
  EXPECT_EQ(prefixes.bytes(), 40);
  prefixes.check_integrity();
}

TEST_F(PrefixCacheTest, ALongerPrefixOutlivesTheShorterOneOnItsWay) {
  PrefixCache prefixes(1000);
  const Tokens tokens = text(1, 384);
  prefixes.insert(std::span(tokens).first(128), state(128), 10);
  prefixes.insert(tokens, state(384), 10);
  EXPECT_TRUE(prefixes.evict_one());
  EXPECT_EQ(found(prefixes, tokens), 384);
  EXPECT_EQ(prefixes.find(tokens, 383, false).length, 0);
  prefixes.insert(std::span(tokens).first(128), state(128), 10);
  EXPECT_TRUE(prefixes.evict_one());  // now the longer one
  EXPECT_EQ(found(prefixes, tokens), 128);
  prefixes.check_integrity();
}

TEST_F(PrefixCacheTest, GivesTheCacheItsPagesBack) {
  const int64_t free = cache_.available_tokens();
  PrefixCache prefixes(1000);
  for (int32_t i = 1; i <= 4; ++i) prefixes.insert(text(i, 256), state(256), 10);
  EXPECT_LT(cache_.available_tokens(), free);
  prefixes.clear();
  EXPECT_EQ(prefixes.snapshots(), 0);
  EXPECT_EQ(prefixes.bytes(), 0);
  EXPECT_EQ(cache_.available_tokens(), free);
  cache_.check_integrity();
}

}  // namespace
}  // namespace ft::scheduler
