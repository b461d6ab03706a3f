#include "encoding/merge_table.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace ft::encoding {

MergeTable::MergeTable(size_t merges) {
  // At most half full, so that probe sequences stay short.
  const size_t capacity = std::bit_ceil(std::max<size_t>(merges * 2, 16));
  slots_.resize(capacity);
  merged_.reserve(merges);
  shift_ = 64 - std::countr_zero(capacity);
}

size_t MergeTable::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = static_cast<size_t>(pair * 0x9E3779B97F4A7C15u >> shift_);
  while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty) slot = (slot + 1) & mask;
  return slot;
}

bool MergeTable::add(TokenId left, TokenId right, TokenId merged) {
  Slot& slot = slots_[slot_of(key(left, right))];
  if (slot.pair != kEmpty) return false;
  slot = {key(left, right), static_cast<uint32_t>(merged_.size())};
  merged_.push_back(merged);
  return true;
}

uint32_t MergeTable::rank(TokenId left, TokenId right) const {
  return slots_[slot_of(key(left, right))].rank;
}

void PieceMerger::rank_pair(uint32_t at) {
  Node& node = nodes_[at];
  node.rank = node.next == kEnd ? MergeTable::kNoRank : table_->rank(node.id, nodes_[node.next].id);
  if (node.rank == MergeTable::kNoRank) return;
  heap_.push_back(static_cast<uint64_t>(node.rank) << 32 | at);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void PieceMerger::merge(const std::vector<TokenId>& symbols, std::vector<TokenId>& out) {
  const uint32_t count = static_cast<uint32_t>(symbols.size());
  nodes_.resize(count);
  heap_.clear();
  for (uint32_t i = 0; i < count; ++i) {
    nodes_[i] = {symbols[i], i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1, MergeTable::kNoRank};
  }
  for (uint32_t i = 0; i + 1 < count; ++i) {
    nodes_[i].rank = table_->rank(symbols[i], symbols[i + 1]);
    if (nodes_[i].rank != MergeTable::kNoRank)
      heap_.push_back(static_cast<uint64_t>(nodes_[i].rank) << 32 | i);
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint64_t candidate = heap_.back();
    heap_.pop_back();
    const uint32_t at = static_cast<uint32_t>(candidate);
    const uint32_t rank = static_cast<uint32_t>(candidate >> 32);
    // A rank names one pair, so a candidate is stale exactly if the pair at its place has another rank by
    // now.
    if (nodes_[at].rank != rank) continue;
    Node& node = nodes_[at];
    Node& absorbed = nodes_[node.next];
    node.id = table_->merged(rank);
    node.next = absorbed.next;
    absorbed.rank = MergeTable::kNoRank;
    if (node.next != kEnd) nodes_[node.next].previous = at;
    rank_pair(at);
    if (node.previous != kEnd) rank_pair(node.previous);
  }
  if (count == 0) return;
  for (uint32_t at = 0; at != kEnd; at = nodes_[at].next) out.push_back(nodes_[at].id);
}

}  // namespace ft::encoding
