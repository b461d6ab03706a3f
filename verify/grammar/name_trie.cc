#include "verify/grammar/name_trie.h"

#include <algorithm>

namespace ft::grammar {

NameTrie::NameTrie(const std::vector<std::string>& names, const std::vector<std::string>& forbidden) {
  Sorted sorted;
  for (uint32_t i = 0; i < names.size(); ++i) sorted.emplace_back(names[i], i);
  for (const std::string& name : forbidden) sorted.emplace_back(name, kForbidden);
  std::sort(sorted.begin(), sorted.end());
  name_count_ = static_cast<uint32_t>(sorted.size());
  nodes_.emplace_back();
  build(sorted, 0, sorted.size(), 0, kRoot);
}

void NameTrie::build(const Sorted& names, size_t begin, size_t end, size_t depth, uint32_t node) {
  // A loop down names without branches keeps the recursion as deep as there are branches.
  for (;;) {
    nodes_[node].first_below = static_cast<uint32_t>(below_.size());
    for (size_t i = begin; i < end; ++i)
      if (names[i].second != kForbidden) below_.push_back(names[i].second);
    std::sort(below_.begin() + nodes_[node].first_below, below_.end());
    nodes_[node].below_count = static_cast<uint32_t>(below_.size()) - nodes_[node].first_below;
    if (begin < end && names[begin].first.size() == depth) nodes_[node].member = names[begin++].second;
    nodes_[node].first_edge = static_cast<uint32_t>(edges_.size());
    std::vector<size_t> starts;
    for (size_t i = begin; i < end; ++i)
      if (i == begin || names[i].first[depth] != names[i - 1].first[depth]) {
        starts.push_back(i);
        edges_.emplace_back(static_cast<uint8_t>(names[i].first[depth]),
                            static_cast<uint32_t>(nodes_.size()));
        nodes_.emplace_back();
      }
    nodes_[node].edge_count = static_cast<uint32_t>(starts.size());
    if (starts.empty()) return;
    const uint32_t first_child = edges_[nodes_[node].first_edge].second;
    starts.push_back(end);
    ++depth;
    for (size_t k = 0; k + 2 < starts.size(); ++k)
      build(names, starts[k], starts[k + 1], depth, first_child + static_cast<uint32_t>(k));
    begin = starts[starts.size() - 2];
    node = first_child + static_cast<uint32_t>(starts.size()) - 2;
  }
}

uint32_t NameTrie::child(uint32_t node, uint8_t byte) const {
  if (node == kNone) return kNone;
  const auto begin = edges_.begin() + nodes_[node].first_edge;
  const auto end = begin + nodes_[node].edge_count;
  const auto edge = std::lower_bound(begin, end, byte, [](const auto& e, uint8_t b) { return e.first < b; });
  return edge != end && edge->first == byte ? edge->second : kNone;
}

uint32_t NameTrie::count(uint32_t node, uint32_t first, uint32_t last) const {
  if (node == kNone || first > last) return 0;
  const auto begin = below_.begin() + nodes_[node].first_below;
  const auto end = begin + nodes_[node].below_count;
  const auto from = std::lower_bound(begin, end, first);
  return static_cast<uint32_t>(std::upper_bound(from, end, last) - from);
}

std::optional<uint8_t> NameTrie::only_next(uint32_t node, uint32_t first, uint32_t last, uint8_t end) const {
  std::optional<uint8_t> only;
  if (nodes_[node].member >= first && nodes_[node].member <= last) only = end;
  const auto begin = edges_.begin() + nodes_[node].first_edge;
  for (auto edge = begin; edge != begin + nodes_[node].edge_count; ++edge) {
    if (!leads_to(edge->second, first, last)) continue;
    if (only) return std::nullopt;
    only = edge->first;
  }
  return only;
}

size_t NameTrie::bytes() const {
  return nodes_.size() * sizeof(Node) + edges_.size() * sizeof(edges_[0]) + below_.size() * sizeof(uint32_t);
}

}  // namespace ft::grammar
