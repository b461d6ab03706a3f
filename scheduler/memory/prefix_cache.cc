#include "scheduler/memory/prefix_cache.h"

#include <algorithm>

#include "core/check.h"
#include "core/fnv.h"

namespace ft::scheduler {

namespace {

constexpr size_t kBlock = kPageTokens;

}  // namespace

struct PrefixCache::Node {
  Node* parent = nullptr;
  uint64_t hash = 0;
  std::vector<int32_t> block;
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> children;
  SharedSnapshot snapshot;  // null: only a way to longer ones
  int64_t bytes = 0;
  std::list<Node*>::iterator used;
};

PrefixCache::PrefixCache(int64_t bytes_max) : bytes_max_(bytes_max), root_(std::make_unique<Node>()) {}
PrefixCache::~PrefixCache() = default;

PrefixCache::Node* PrefixCache::child(Node& node, std::span<const int32_t> block) const {
  const auto [begin, end] = node.children.equal_range(fnv1a(block));
  for (auto found = begin; found != end; ++found)
    if (std::ranges::equal(found->second->block, block)) return found->second.get();
  return nullptr;
}

PrefixCache::Match PrefixCache::find(std::span<const int32_t> tokens, int64_t length_max, bool drafted) {
  const size_t blocks =
      std::min(tokens.size(), static_cast<size_t>(std::max<int64_t>(length_max, 0))) / kBlock;
  Node* node = root_.get();
  Node* best = nullptr;
  Match match;
  for (size_t i = 0; i < blocks; ++i) {
    node = child(*node, tokens.subspan(i * kBlock, kBlock));
    if (node == nullptr) break;
    if (node->snapshot == nullptr || (drafted && !node->snapshot->drafted())) continue;
    best = node;
    match = {static_cast<int64_t>((i + 1) * kBlock), node->snapshot};
  }
  if (best != nullptr) used_.splice(used_.begin(), used_, best->used);
  return match;
}

// Null if there is no node for these tokens.
PrefixCache::Node* PrefixCache::node_of(std::span<const int32_t> tokens) const {
  Node* node = root_.get();
  for (size_t i = 0; i < tokens.size() && node != nullptr; i += kBlock)
    node = child(*node, tokens.subspan(i, kBlock));
  return node;
}

bool PrefixCache::wants(std::span<const int32_t> tokens, bool drafted) const {
  if (bytes_max_ == 0 || tokens.empty() || tokens.size() % kBlock != 0) return false;
  const Node* node = node_of(tokens);
  return node == nullptr || node->snapshot == nullptr || (drafted && !node->snapshot->drafted());
}

void PrefixCache::insert(std::span<const int32_t> tokens, SharedSnapshot snapshot, int64_t own_bytes) {
  if (own_bytes > bytes_max_ || !wants(tokens, snapshot->drafted())) return;
  while (bytes_ + own_bytes > bytes_max_ && evict_one()) {
  }
  Node* node = root_.get();
  for (size_t i = 0; i < tokens.size(); i += kBlock) {
    const std::span<const int32_t> block = tokens.subspan(i, kBlock);
    Node* next = child(*node, block);
    if (next == nullptr) {
      auto made = std::make_unique<Node>();
      made->parent = node;
      made->hash = fnv1a(block);
      made->block.assign(block.begin(), block.end());
      next = made.get();
      node->children.emplace(made->hash, std::move(made));
    }
    node = next;
  }
  if (node->snapshot != nullptr) {
    bytes_ -= node->bytes;
    used_.erase(node->used);
  }
  node->snapshot = std::move(snapshot);
  node->bytes = own_bytes;
  bytes_ += own_bytes;
  used_.push_front(node);
  node->used = used_.begin();
}

void PrefixCache::erase(std::span<const int32_t> tokens) {
  FT_CHECK(tokens.size() % kBlock == 0, tokens.size());
  Node* node = node_of(tokens);
  if (node != nullptr && node->snapshot != nullptr) drop(*node);
}

bool PrefixCache::evict_one() {
  if (used_.empty()) return false;
  drop(*used_.back());
  return true;
}

void PrefixCache::drop(Node& dropped) {
  used_.erase(dropped.used);
  bytes_ -= dropped.bytes;
  dropped.snapshot = nullptr;
  dropped.bytes = 0;
  // Branches that lead to no snapshot any more are dead.
  for (Node* node = &dropped;
       node->parent != nullptr && node->snapshot == nullptr && node->children.empty();) {
    Node* parent = node->parent;
    const auto [begin, end] = parent->children.equal_range(node->hash);
    parent->children.erase(
        std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == node; }));
    node = parent;
  }
}

void PrefixCache::clear() {
  while (evict_one()) {
  }
}

void PrefixCache::check_integrity() const {
  int64_t bytes = 0;
  for (const Node* node : used_) {
    FT_CHECK(node->snapshot != nullptr);
    bytes += node->bytes;
    int64_t depth = 0;
    for (const Node* up = node; up->parent != nullptr; up = up->parent) ++depth;
    FT_CHECK(node->snapshot->length() == depth * kPageTokens, node->snapshot->length(), depth);
  }
  FT_CHECK(bytes == bytes_ && bytes <= bytes_max_, bytes, bytes_, bytes_max_);
}

}  // namespace ft::scheduler
