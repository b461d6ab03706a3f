// Counting tokens against a map.
#include "verify/token_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

namespace ft::verify {
namespace {

using Counts = std::map<int32_t, std::pair<int32_t, int32_t>>;

Counts nonzero(const TokenCounts& counts) {
  Counts result;
  for (const TokenCounts::Entry& entry : counts.entries()) {
    EXPECT_FALSE(result.contains(entry.token)) << "listed twice: " << entry.token;
    if (entry.prompt + entry.output > 0) result[entry.token] = {entry.prompt, entry.output};
  }
  return result;
}

TEST(TokenCounts, FollowsAMapThroughPushesAndPops) {
  std::mt19937_64 rng(1);
  for (const int32_t vocab : {1, 3, 1000, 129280}) {
    TokenCounts counts;
    Counts expected;
    std::vector<int32_t> prompt(500), path;
    for (int32_t& token : prompt) token = static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab));
    counts.add_prompt(prompt);
    for (const int32_t token : prompt) ++expected[token].first;
    for (int step = 0; step < 3000; ++step) {
      if (!path.empty() && rng() % 3 == 0) {
        counts.pop(path.back());
        auto entry = expected.find(path.back());
        if (--entry->second.second == 0 && entry->second.first == 0) expected.erase(entry);
        path.pop_back();
      } else {
        path.push_back(static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab)));
        counts.push(path.back());
        ++expected[path.back()].second;
      }
    }
    EXPECT_EQ(nonzero(counts), expected) << vocab;
    counts.clear();
    EXPECT_TRUE(counts.entries().empty());
    counts.push(0);
    EXPECT_EQ(nonzero(counts), (Counts{{0, {0, 1}}}));
  }
}

TEST(TokenCounts, ReservedPushesKeepTheirPlace) {
  TokenCounts counts;
  counts.reserve(1000);
  counts.push(7);
  const TokenCounts::Entry* first = counts.entries().data();
  for (int32_t token = 100; token < 1099; ++token) counts.push(token);
  EXPECT_EQ(counts.entries().data(), first);
}

TEST(TokenCountsDeathTest, PopWithoutPush) {
  TokenCounts counts;
  counts.push(1);
  counts.pop(1);
  EXPECT_DEATH(counts.pop(1), "entry.output > 0");
  EXPECT_DEATH(counts.push(-1), "token >= 0");
}

}  // namespace
}  // namespace ft::verify
