// Statistics cross to other threads field by field: none may be left out or end up in another's place.
#include "scheduler/engine_stats.h"

#include <gtest/gtest.h>

#include <bit>

namespace ft::scheduler {
namespace {

// Every field is an integer or a double of 64 bits, so the record is an array of words.
using Words = std::array<uint64_t, sizeof(EngineStats) / sizeof(uint64_t)>;
static_assert(std::is_trivially_copyable_v<EngineStats> && sizeof(Words) == sizeof(EngineStats));

TEST(SharedStats, EveryFieldArrivesWhereItBelongs) {
  SharedStats shared;
  Words words{};
  // Also sound values for the fields that are doubles, and far apart from each other.
  for (size_t i = 0; i < words.size(); ++i)
    words[i] = std::bit_cast<uint64_t>(1.5 * static_cast<double>(i + 1));
  shared.publish(std::bit_cast<EngineStats>(words));
  const Words read = std::bit_cast<Words>(shared.read());
  for (size_t i = 0; i < words.size(); ++i) EXPECT_EQ(read[i], words[i]) << "word " << i;
}

TEST(SharedStats, LaterValuesReplaceEarlierOnes) {
  SharedStats shared;
  EngineStats stats;
  stats.requests_running = 3;
  stats.canary_mismatches = 4;
  stats.accepted_at_depth.back() = 5;
  stats.fallbacks.back() = 6;
  stats.reliability.back().auc = 0.75;
  stats.observed_step_seconds = 0.125;
  shared.publish(stats);
  stats.requests_running = 2;
  shared.publish(stats);
  const EngineStats read = shared.read();
  EXPECT_EQ(read.requests_running, 2);
  EXPECT_EQ(read.canary_mismatches, 4);
  EXPECT_EQ(read.accepted_at_depth.back(), 5);
  EXPECT_EQ(read.fallbacks.back(), 6);
  EXPECT_EQ(read.reliability.back().auc, 0.75);
  EXPECT_EQ(read.observed_step_seconds, 0.125);
}

}  // namespace
}  // namespace ft::scheduler
