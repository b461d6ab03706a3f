// Prompts that were read and replies that were written before: a radix tree over blocks of kPageTokens tokens.
// Its nodes hold a snapshot of the sequence after that block (model.md 5.2, dspark.md 7 "prefix cache").
//
// A snapshot shares its compressed pages with other snapshots and with sequences, and owns a copy of the window
// tail, of the compressor inputs and of what the drafter keeps, so that a hit drafts as the original would have.
// Tokens are compared, not only hashed: a hit is never a collision. The least recently used snapshots go first.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/kv_cache.h"
#include "scheduler/memory/snapshot.h"

namespace ft::scheduler {

class PrefixCache {
 public:
  // Holds at most `bytes_max` bytes of snapshots, their pages included once per block.
  explicit PrefixCache(int64_t bytes_max);
  ~PrefixCache();

  struct Match {
    int64_t length = 0;  // tokens, a multiple of kPageTokens; 0: none
    SharedSnapshot snapshot;
  };
  // The longest cached prefix of `tokens` with at most `length_max` tokens, which becomes the most recently
  // used. With `drafted`, only prefixes that the drafter has observed count.
  Match find(std::span<const int32_t> tokens, int64_t length_max, bool drafted);
  // Whether insert() would do anything for these tokens: a whole number of blocks, and not cached (as
  // `drafted`) yet.
  bool wants(std::span<const int32_t> tokens, bool drafted) const;
  // Caches the snapshot after exactly `tokens`. `own_bytes`: what it holds beyond what the snapshot of its longest
  // cached prefix holds. Evicts others to stay within the limit, or does nothing if it can't fit.
  void insert(std::span<const int32_t> tokens, SharedSnapshot snapshot, int64_t own_bytes);
  // Gives up the snapshot after exactly `tokens`, a whole number of blocks, if there is one.
  void erase(std::span<const int32_t> tokens);
  // Gives up the least recently used snapshot. False if there is none.
  bool evict_one();
  void clear();

  int64_t bytes() const { return bytes_; }
  int64_t snapshots() const { return static_cast<int64_t>(used_.size()); }

  // Aborts on a broken invariant; for tests and idle time.
  void check_integrity() const;

 private:
  struct Node;
  Node* child(Node& node, std::span<const int32_t> block) const;
  Node* node_of(std::span<const int32_t> tokens) const;
  void drop(Node& node);

  int64_t bytes_max_;
  int64_t bytes_ = 0;
  std::unique_ptr<Node> root_;
  std::list<Node*> used_;  // nodes with a snapshot, the most recently used first
};

}  // namespace ft::scheduler
