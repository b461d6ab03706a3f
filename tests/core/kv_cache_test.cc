// The bookkeeping of the cache: pages, reservations, lengths. That the bits are right is for tests/model.
#include "core/kv_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "tests/support/op_cases.h"
#include "tests/support/temp_dir.h"

namespace ft {
namespace {

ModelConfig config_of(const std::string& name) {
  const std::string path = std::string(FT_TEST_DATA "/configs/") + name + "/config.json";
  auto config = ModelConfig::parse(file_bytes(path), path);
  FT_CHECK(config.has_value(), config.error().message);
  return *config;
}

CacheLimits limits_of(int32_t sequences, int32_t rows, int64_t context, int64_t total_tokens) {
  CacheLimits limits;
  limits.sequences = sequences;
  limits.rows = rows;
  limits.context = context;
  limits.total_tokens = total_tokens;
  return limits;
}

// A cache of one CSA and one HCA layer, pages of 128 tokens.
class KvCacheBooks : public ::testing::Test {
 protected:
  static constexpr int32_t kRows = 64;

  std::unique_ptr<KvCache> make(int32_t sequences, int64_t context, int64_t total_tokens,
                                std::vector<int> ratios = {4, 128}) {
    return std::make_unique<KvCache>(*backend_, config_, std::move(ratios),
                                     limits_of(sequences, kRows, context, total_tokens));
  }

  // Commits `count` more rows.
  static void grow(KvCache& cache, SequenceId sequence, int64_t count) {
    while (count > 0) {
      std::vector<Row> rows;
      for (int32_t i = 0; i < std::min<int64_t>(count, kRows); ++i)
        rows.push_back({1, static_cast<int32_t>(cache.length(sequence)) + i, sequence, i - 1});
      std::vector<int32_t> path(rows.size());
      std::iota(path.begin(), path.end(), 0);
      KvTransaction transaction = cache.begin();
      transaction.stage(rows);
      std::move(transaction).commit(path);
      count -= static_cast<int64_t>(rows.size());
    }
    cache.check_integrity();
  }

  static ErrorCode error_of(const auto& result) {
    EXPECT_FALSE(result);
    return result ? ErrorCode{} : result.error().code;
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend(Numerics::kExact);
  ModelConfig config_ = test::nano_config();
};

TEST(KvFootprint, IsWhatTheCacheAllocates) {
  const auto backend = make_reference_backend(Numerics::kExact);
  const ModelConfig flash = config_of("flash");
  const std::vector<int> main(flash.compress_ratios.begin(),
                              flash.compress_ratios.begin() + flash.num_hidden_layers);
  const ModelConfig nano = test::nano_config();
  const std::pair<const ModelConfig*, std::vector<int>> stacks[] = {
      {&flash, main}, {&nano, {0, 4, 128, 4, 4}}, {&nano, {16}}, {&nano, {0, 0}}};
  for (const auto& [config, ratios] : stacks)
    for (const CacheLimits& limits : {limits_of(1, 8, 100, 0), limits_of(3, 64, 1000, 1000),
                                      limits_of(2, 32, 512, 1024), limits_of(4, 16, 256, 5001)}) {
      const KvCache cache(*backend, *config, ratios, limits);
      const KvCache::Footprint footprint = KvCache::footprint(*config, ratios, limits, RowFormat::kF32);
      const int64_t tokens = std::max(limits.total_tokens, limits.context);
      EXPECT_EQ(cache.bytes(), footprint.fixed_bytes +
                                   (tokens + kPageTokens - 1) / kPageTokens * footprint.bytes_per_page_tokens)
          << ratios.size() << " layers, " << tokens << " tokens";
    }
}

// By hand: 32 entries of a CSA layer, one of an HCA layer, and windows that cost the same for any total.
TEST(KvFootprint, IsTheSumOfTheTensors) {
  const ModelConfig flash = config_of("flash");
  const std::vector<int> ratios = {0, 4, 128, 4};
  const CacheLimits limits = limits_of(2, 10, 1000, 0);
  const KvCache::Footprint footprint = KvCache::footprint(flash, ratios, limits, RowFormat::kF32);
  const int64_t csa_page = 32 * (512 + 128) * 4;
  const int64_t hca_page = 512 * 4;
  EXPECT_EQ(footprint.bytes_per_page_tokens, 2 * csa_page + hca_page);
  const int64_t staged = 11;
  const int64_t window = (2 * (128 - 1 + 128) + staged) * 512 * 4;
  const int64_t csa =
      (2 * (2 * 4 - 1 + 128) + staged) * 4 * (512 + 128) * 4 + 2 * csa_page + staged * (512 + 128) * 4;
  const int64_t hca = (2 * (128 - 1 + 128) + staged) * 2 * 512 * 4 + 2 * hca_page + staged * 512 * 4;
  EXPECT_EQ(footprint.fixed_bytes, 4 * window + 2 * csa + hca);
  EXPECT_EQ(KvCache::footprint(flash, std::vector<int>{0, 0}, limits, RowFormat::kF32).bytes_per_page_tokens,
            0);
}

TEST(KvFootprint, IsEnoughForRatiosThatDoNotDivideAPage) {
  const auto backend = make_reference_backend(Numerics::kExact);
  const ModelConfig nano = test::nano_config();
  const std::vector<int> ratios = {3, 256};
  for (int64_t tokens : {100, 1000, 1280, 5001}) {
    const CacheLimits limits = limits_of(2, 8, 100, tokens);
    const KvCache::Footprint footprint = KvCache::footprint(nano, ratios, limits, RowFormat::kF32);
    EXPECT_LE(
        KvCache(*backend, nano, ratios, limits).bytes(),
        footprint.fixed_bytes + (tokens + kPageTokens - 1) / kPageTokens * footprint.bytes_per_page_tokens);
  }
}

TEST_F(KvCacheBooks, ExtendUntilNothingIsLeft) {
  // 8 pages of tokens and one more for each of the 3 slots.
  const auto cache = make(3, 1024, 1024);
  ASSERT_EQ(cache->available_tokens(), 1024);
  const SequenceId a = *cache->open(512);
  const SequenceId b = *cache->open(256);
  ASSERT_EQ(cache->available_tokens(), 5 * 128);
  ASSERT_TRUE(cache->extend(a, 1024));
  EXPECT_EQ(cache->available_tokens(), 128);
  EXPECT_TRUE(cache->extend(b, 100));  // less than it may have already
  EXPECT_TRUE(cache->extend(b, 384));
  EXPECT_EQ(cache->available_tokens(), 0);

  EXPECT_EQ(error_of(cache->extend(b, 385)), ErrorCode::kOverloaded);
  EXPECT_EQ(error_of(cache->extend(a, 1025)), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(cache->open(1)), ErrorCode::kOverloaded);
  cache->check_integrity();
  EXPECT_EQ(cache->available_tokens(), 0);
  EXPECT_EQ(cache->open_sequences(), 2);
  EXPECT_EQ(cache->length(b), 0);
  grow(*cache, a, 1024);  // what was promised holds
  grow(*cache, b, 384);

  cache->close(a);
  EXPECT_EQ(cache->available_tokens(), 8 * 128);
  EXPECT_TRUE(cache->extend(b, 1024));
  EXPECT_EQ(cache->available_tokens(), 3 * 128);
  grow(*cache, b, 640);
}

// Commits do not look beyond what was promised: growing past it is the caller's mistake, until it extends.
TEST_F(KvCacheBooks, LengthMaxBoundsCommitsUntilExtended) {
  const auto cache = make(1, 256, 256);
  const SequenceId id = *cache->open(10);
  grow(*cache, id, 10);
  EXPECT_DEATH(grow(*cache, id, 1), "length_max");
  ASSERT_TRUE(cache->extend(id, 11));
  grow(*cache, id, 1);
  EXPECT_EQ(cache->length(id), 11);
}

TEST_F(KvCacheBooks, TooLargeIsSaidEvenWhenTheSlotsAreTaken) {
  const auto cache = make(1, 256, 256);
  ASSERT_TRUE(cache->open(10));
  EXPECT_EQ(error_of(cache->open(257)), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(cache->open(10)), ErrorCode::kOverloaded);
}

TEST_F(KvCacheBooks, SnapshotsAndRewindsDoNotHoardPages) {
  const auto cache = make(2, 512, 512);
  const SequenceId id = *cache->open(512);
  grow(*cache, id, 200);
  const int64_t before = cache->available_tokens();
  for (int i = 0; i < 20; ++i) {
    const auto snapshot = cache->snapshot(id);
    ASSERT_NE(snapshot, nullptr) << i;
    for (int k = 0; k < 5; ++k) ASSERT_TRUE(cache->rewind(id, 200 - k));
    grow(*cache, id, 4);
    cache->check_integrity();
  }
  ASSERT_TRUE(cache->rewind(id, 199));
  EXPECT_EQ(cache->available_tokens(), before);
}

TEST_F(KvCacheBooks, SharedPagesAreNotReservedAgain) {
  // 10 pages of tokens and one more for each slot. The snapshot keeps 5, so 7 are left.
  const auto cache = make(2, 1280, 1280);
  const SequenceId first = *cache->open(640);
  grow(*cache, first, 640);
  const auto snapshot = cache->snapshot(first);
  cache->close(first);
  const Result<SequenceId> again = cache->open(1280, *snapshot);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(cache->available_tokens(), 2 * 128);
  grow(*cache, *again, 640);
}

TEST_F(KvCacheBooks, AnOpenThatFailsLeavesNothingBehind) {
  const auto cache = make(3, 512, 512);
  const SequenceId id = *cache->open(512);
  grow(*cache, id, 300);
  const auto snapshot = cache->snapshot(id);
  const auto image = cache->save(id);
  const int64_t available = cache->available_tokens();
  ASSERT_LT(available, 512);
  EXPECT_EQ(error_of(cache->open(512, *image)), ErrorCode::kOverloaded);
  EXPECT_EQ(error_of(cache->open(513, *image)), ErrorCode::kTooLarge);
  const SequenceId other = *cache->open(available);
  EXPECT_EQ(error_of(cache->open(512, *snapshot)), ErrorCode::kOverloaded);
  cache->check_integrity();
  cache->close(other);
  EXPECT_EQ(cache->available_tokens(), available);
  EXPECT_EQ(cache->open_sequences(), 1);
}

TEST_F(KvCacheBooks, AnImageHoldsTheWindowTheStatesAndTheEntries) {
  const auto cache = make(2, 512, 1024, {0, 4, 128});
  const SequenceId id = *cache->open(512);
  const auto image_of = [&](int64_t length) {
    grow(*cache, id, length - cache->length(id));
    const auto image = cache->save(id);
    EXPECT_EQ(image->length(), length);
    EXPECT_EQ(image->bytes(), cache->image_bytes(id));
    return image->bytes();
  };
  // W 64, c 128, cI 64. CSA states: the block in progress and the one before.
  EXPECT_EQ(image_of(0), 0);
  EXPECT_EQ(image_of(3), (3 * 3 * 128 + 3 * 4 * (128 + 64) + 3 * 2 * 128) * 4);
  const int64_t windows = 3 * 64 * 128;
  EXPECT_EQ(image_of(130), (windows + (4 + 2) * 4 * (128 + 64) + 32 * (128 + 64) + 2 * 2 * 128 + 128) * 4);
  EXPECT_EQ(image_of(512), (windows + 4 * 4 * (128 + 64) + 128 * (128 + 64) + 4 * 128) * 4);
}

TEST_F(KvCacheBooks, NoRewindBelowWhatWasRestored) {
  const auto cache = make(3, 1024, 4096);
  const SequenceId id = *cache->open(1024);
  grow(*cache, id, 200);
  const auto snapshot = cache->snapshot(id);
  const auto image = cache->save(id);
  for (const SequenceId restored : {*cache->open(1024, *snapshot), *cache->open(1024, *image)}) {
    EXPECT_EQ(cache->length(restored), 200);
    EXPECT_EQ(error_of(cache->rewind(restored, 199)), ErrorCode::kInvalidArgument);
    grow(*cache, restored, 100);
    EXPECT_EQ(error_of(cache->rewind(restored, 199)), ErrorCode::kInvalidArgument);
    EXPECT_TRUE(cache->rewind(restored, 200));
    grow(*cache, restored, 300);
    EXPECT_EQ(error_of(cache->rewind(restored, 500 - kRewindMax - 1)), ErrorCode::kInvalidArgument);
    EXPECT_TRUE(cache->rewind(restored, 500 - kRewindMax));
    EXPECT_TRUE(cache->rewind(restored, 0));
    grow(*cache, restored, 50);
    EXPECT_TRUE(cache->rewind(restored, 1));
    cache->check_integrity();
  }
}

TEST_F(KvCacheBooks, NoRewindIntoTheWindowAfterASkip) {
  const auto cache = make(2, 1024, 1024, {0, 0});
  const int64_t window = config_.sliding_window;
  const SequenceId id = *cache->open(1024);
  grow(*cache, id, 10);
  cache->skip_to(id, 10);  // nothing is skipped
  EXPECT_TRUE(cache->rewind(id, 5));
  cache->skip_to(id, 500);
  EXPECT_EQ(cache->length(id), 500);
  EXPECT_TRUE(cache->rewind(id, 500));
  EXPECT_EQ(error_of(cache->rewind(id, 499)), ErrorCode::kInvalidArgument);
  grow(*cache, id, window - 1);
  EXPECT_EQ(error_of(cache->rewind(id, 500)), ErrorCode::kInvalidArgument);
  // Kept aside in the middle of the window, it knows what it lacks.
  const SequenceId restored = *cache->open(1024, *cache->save(id));
  for (const SequenceId sequence : {id, restored}) {
    grow(*cache, sequence, 5);
    EXPECT_EQ(error_of(cache->rewind(sequence, 500 + window - 1)), ErrorCode::kInvalidArgument);
    EXPECT_TRUE(cache->rewind(sequence, 500 + window));
    EXPECT_TRUE(cache->rewind(sequence, 0));
    cache->check_integrity();
  }
}

// The same random life in a cache with memory and in one without: every answer must be the same.
TEST_F(KvCacheBooks, WithoutMemoryTheAnswersAreTheSame) {
  const CacheLimits limits = limits_of(3, kRows, 512, 900);
  const std::vector<int> ratios = {0, 4, 128};
  KvCache real(*backend_, config_, ratios, limits);
  KvCache books(config_, ratios, limits);
  EXPECT_EQ(books.bytes(), real.bytes());

  struct Aside {
    std::shared_ptr<KvSnapshot> snapshot[2];
    std::unique_ptr<KvImage> image[2];
    int64_t length = 0;
  };
  std::vector<Aside> aside;
  std::vector<SequenceId> open;
  std::map<std::string, int> seen;
  const auto same = [&](const auto& a, const auto& b, const char* what) {
    EXPECT_EQ(a.has_value(), b.has_value()) << what;
    ++seen[a ? what : std::string(what) + " refused"];
    if (!a && !b) {
      EXPECT_EQ(a.error().message, b.error().message);
    }
    return a && b;
  };
  std::mt19937 random(5);
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  const auto open_with = [&](const Result<SequenceId>& a, const Result<SequenceId>& b, const char* what) {
    if (!same(a, b, what)) return;
    EXPECT_EQ(*a, *b);
    open.push_back(*a);
  };
  for (int round = 0; round < 3000; ++round) {
    const int64_t length_max = pick(1, 600);
    if (open.empty() || pick(0, 19) == 0) open_with(real.open(length_max), books.open(length_max), "open");
    if (open.empty()) continue;
    const auto chosen = static_cast<size_t>(pick(0, static_cast<int64_t>(open.size()) - 1));
    const SequenceId id = open[chosen];
    const int64_t length = real.length(id);
    ASSERT_EQ(books.length(id), length);
    switch (pick(0, 6)) {
      case 0:
        same(real.extend(id, length_max), books.extend(id, length_max), "extend");
        break;
      case 1: {
        const int64_t to = pick(0, 3) == 0 ? 0 : std::max<int64_t>(0, length - pick(0, 140));
        same(real.rewind(id, to), books.rewind(id, to), "rewind");
        break;
      }
      case 2: {
        const int64_t at = std::max<int64_t>(0, length - pick(0, 1) * pick(0, 100));
        Aside kept{{real.snapshot(id, at), books.snapshot(id, at)}, {}, at};
        ASSERT_EQ(kept.snapshot[0] == nullptr, kept.snapshot[1] == nullptr);
        ++seen[kept.snapshot[0] ? "snapshot" : "snapshot refused"];
        if (!kept.snapshot[0]) break;
        EXPECT_EQ(kept.snapshot[0]->copied_bytes(), kept.snapshot[1]->copied_bytes());
        EXPECT_EQ(kept.snapshot[0]->page_bytes(), kept.snapshot[1]->page_bytes());
        aside.push_back(std::move(kept));
        break;
      }
      case 3: {
        Aside kept{{}, {real.save(id), books.save(id)}, length};
        EXPECT_EQ(kept.image[0]->bytes(), kept.image[1]->bytes());
        aside.push_back(std::move(kept));
        if (pick(0, 1) == 0) break;
        real.close(id);
        books.close(id);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(chosen));
        break;
      }
      case 4: {
        if (aside.empty()) break;
        const Aside& kept = aside[static_cast<size_t>(pick(0, static_cast<int64_t>(aside.size()) - 1))];
        const int64_t most = std::max(kept.length, length_max);
        if (kept.snapshot[0]) {
          open_with(real.open(most, *kept.snapshot[0]), books.open(most, *kept.snapshot[1]),
                    "open a snapshot");
        } else {
          open_with(real.open(most, *kept.image[0]), books.open(most, *kept.image[1]), "open an image");
        }
        break;
      }
      default: {
        // Only as far as the sequence may grow, which both must know alike.
        const int64_t count = pick(1, 40);
        if (!same(real.extend(id, length + count), books.extend(id, length + count), "extend")) break;
        grow(real, id, count);
        grow(books, id, count);
        ++seen["commit"];
      }
    }
    if (aside.size() > 4) aside.erase(aside.begin() + pick(0, 3));
    ASSERT_EQ(real.available_tokens(), books.available_tokens()) << "round " << round;
    ASSERT_EQ(real.unreserved_tokens(), books.unreserved_tokens()) << "round " << round;
  }
  for (const char* what : {"open", "open refused", "extend", "extend refused", "rewind", "rewind refused",
                           "snapshot", "snapshot refused", "open a snapshot", "open an image", "commit"})
    EXPECT_GT(seen[what], 0) << what;
}

TEST_F(KvCacheBooks, WithoutMemoryAPlanHasOnlyACount) {
  KvCache books(config_, {0, 4, 128}, limits_of(1, kRows, 512, 512));
  const SequenceId id = *books.open(512);
  KvTransaction transaction = books.begin();
  const Row rows[] = {{1, 0, id, kCommitted}, {2, 1, id, 0}};
  const StepPlan& plan = transaction.stage(rows);
  EXPECT_EQ(plan.rows, 2);
  EXPECT_EQ(plan.tokens, nullptr);
  EXPECT_DEATH((void)books.layer(0), "tensors_");
}

}  // namespace
}  // namespace ft
