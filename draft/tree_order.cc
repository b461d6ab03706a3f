#include "draft/tree_order.h"

#include <algorithm>
#include <numeric>

namespace ft::draft {

TreeOrder::TreeOrder(size_t nodes_max) {
  order_.reserve(nodes_max);
  place_.reserve(nodes_max);
}

void TreeOrder::take_best(std::span<const DraftNode> nodes, int32_t nodes_max, std::vector<DraftNode>& out) {
  order_.resize(nodes.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::sort(order_, [&](int32_t a, int32_t b) {
    const DraftNode& left = nodes[static_cast<size_t>(a)];
    const DraftNode& right = nodes[static_cast<size_t>(b)];
    if (left.path_probability != right.path_probability)
      return left.path_probability > right.path_probability;
    return left.depth != right.depth ? left.depth < right.depth : a < b;
  });
  // A parent is at least as probable as its children and shallower, so it has its place before they need it.
  place_.resize(nodes.size());
  out.clear();
  for (const int32_t from : order_) {
    DraftNode node = nodes[static_cast<size_t>(from)];
    if (static_cast<int32_t>(out.size()) == nodes_max || node.path_probability == 0.0f) break;
    if (node.parent >= 0) node.parent = place_[static_cast<size_t>(node.parent)];
    place_[static_cast<size_t>(from)] = static_cast<int32_t>(out.size());
    out.push_back(node);
  }
}

}  // namespace ft::draft
