// The merges of a byte-level BPE, and the merging of one piece.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "encoding/tokenizer.h"

namespace ft::encoding {

// Pair (left id, right id) -> rank in a flat hash table with linear probing.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;

  // Room for `merges` pairs; the capacity does not grow.
  explicit MergeTable(size_t merges = 0);

  // Adds the next merge (rank = number added before); false if the pair is already present.
  bool add(TokenId left, TokenId right, TokenId merged);

  uint32_t rank(TokenId left, TokenId right) const;
  TokenId merged(uint32_t rank) const { return merged_[rank]; }

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    uint32_t rank = kNoRank;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t pair) const;  // the pair's slot, or the empty one where it belongs

  std::vector<Slot> slots_;
  std::vector<TokenId> merged_;
  int shift_ = 0;
};

// Repeatedly merges the adjacent pair of lowest rank, leftmost on a tie (tokenizer.md section 2
// step 4), in O(n log n): a heap of candidates over a linked list of symbols. One per thread; keeps its
// memory between pieces.
class PieceMerger {
 public:
  explicit PieceMerger(const MergeTable& table) : table_(&table) {}

  // Appends the ids of a piece whose single-byte symbols are `symbols` (fewer than 2^31).
  void merge(const std::vector<TokenId>& symbols, std::vector<TokenId>& out);

 private:
  static constexpr uint32_t kEnd = 0xFFFFFFFF;
  struct Node {
    TokenId id;
    uint32_t previous, next;  // kEnd at the borders
    uint32_t rank;            // of the pair (this, next), or kNoRank
  };
  void rank_pair(uint32_t at);

  const MergeTable* table_;
  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;  // rank << 32 | position: lowest rank, then leftmost, first
};

}  // namespace ft::encoding
