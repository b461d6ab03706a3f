#include "encoding/merge_table.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace ft::encoding {
namespace {

// The definition, executed literally.
std::vector<TokenId> merge_slowly(const MergeTable& table, std::vector<TokenId> ids) {
  while (true) {
    uint32_t best = MergeTable::kNoRank;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const uint32_t rank = table.rank(ids[i], ids[i + 1]);
      if (rank < best) {
        best = rank;
        at = i;
      }
    }
    if (best == MergeTable::kNoRank) return ids;
    ids[at] = table.merged(best);
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(MergeTable, FindsWhatWasAdded) {
  MergeTable table(3);
  EXPECT_TRUE(table.add(1, 2, 10));
  EXPECT_TRUE(table.add(2, 1, 11));
  EXPECT_FALSE(table.add(1, 2, 12));
  EXPECT_EQ(table.rank(1, 2), 0u);
  EXPECT_EQ(table.rank(2, 1), 1u);
  EXPECT_EQ(table.rank(2, 2), MergeTable::kNoRank);
  EXPECT_EQ(table.merged(1), 11);
  EXPECT_EQ(MergeTable().rank(0, 0), MergeTable::kNoRank);
}

TEST(PieceMerger, EqualsTheDefinition) {
  std::mt19937 random(37);
  for (int round = 0; round < 300; ++round) {
    MergeTable table(12);
    TokenId next = 3;
    for (int i = 0; i < 12; ++i) {
      const TokenId left = static_cast<TokenId>(random() % static_cast<size_t>(next));
      const TokenId right = static_cast<TokenId>(random() % static_cast<size_t>(next));
      if (table.add(left, right, next)) ++next;
    }
    PieceMerger merger(table);
    for (int piece = 0; piece < 20; ++piece) {
      std::vector<TokenId> symbols(random() % 40);
      for (TokenId& symbol : symbols) symbol = static_cast<TokenId>(random() % 3);
      std::vector<TokenId> ids;
      merger.merge(symbols, ids);
      EXPECT_EQ(ids, merge_slowly(table, symbols));
    }
  }
}

TEST(PieceMerger, LongPiecesAreNotQuadratic) {
  MergeTable table(20);
  for (TokenId id = 0; id < 20; ++id) table.add(id, id, id + 1);
  PieceMerger merger(table);
  std::vector<TokenId> ids;
  const auto start = std::chrono::steady_clock::now();
  merger.merge(std::vector<TokenId>(size_t{1} << 20, 0), ids);
  EXPECT_EQ(ids, (std::vector<TokenId>{20}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace ft::encoding
