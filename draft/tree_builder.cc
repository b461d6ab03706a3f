#include "draft/tree_builder.h"

#include <algorithm>

#include "core/check.h"

namespace ft::draft {

TreeBuilder::TreeBuilder() {
  constexpr size_t kNodesMax = size_t{kDepthMax} * kFrontierMax * kChildrenMax;
  nodes_.reserve(kNodesMax);
  kept_.reserve(kNodesMax);
  frontier_.reserve(kFrontierMax);
}

void TreeBuilder::start(TreeShape shape, int32_t nodes_max, int32_t depth_max, int32_t frontier_max) {
  shape_ = shape;
  nodes_max_ = nodes_max;
  depth_max_ = std::min(depth_max, kDepthMax);
  frontier_max_ = std::min(frontier_max, kFrontierMax);
  depth_ = 0;
  last_parent_ = kRejected;
  nodes_.clear();
  kept_.clear();
  frontier_.clear();
  if (nodes_max_ > 0 && depth_max_ > 0) frontier_.push_back(kAnchor);
}

int32_t TreeBuilder::add(int32_t parent, int32_t token, float share) {
  FT_CHECK(parent == kAnchor || nodes_[static_cast<size_t>(parent)].depth == depth_, parent, depth_);
  if (shape_ == TreeShape::kChain && parent == last_parent_) return kRejected;
  last_parent_ = parent;
  if (!(share > 0.0f)) return kRejected;  // a share that is not a number is none
  const float probability = path_probability(parent) * std::min(share, 1.0f);
  // A new node is deeper or later than all the others, so it goes behind its equals, which keeps every parent
  // before its children.
  const auto place = std::partition_point(
      kept_.begin(), kept_.end(), [&](int32_t node) { return path_probability(node) >= probability; });
  if (static_cast<int32_t>(kept_.size()) == nodes_max_) {
    if (place == kept_.end()) return kRejected;
    kept_.pop_back();
  }
  const auto node = static_cast<int32_t>(nodes_.size());
  kept_.insert(place, node);
  nodes_.push_back({token, parent, depth_ + 1, probability, kRejected, 0});
  return node;
}

void TreeBuilder::descend() {
  ++depth_;
  frontier_.clear();
  last_parent_ = kRejected;
  if (depth_ >= depth_max_) return;
  // With no room left, children of the last node kept could not displace anything.
  const bool full = static_cast<int32_t>(kept_.size()) == nodes_max_;
  for (int32_t node : kept_) {
    if (static_cast<int32_t>(frontier_.size()) == frontier_max_) break;
    if (nodes_[static_cast<size_t>(node)].depth != depth_) continue;
    if (full && path_probability(node) <= path_probability(kept_.back())) break;
    frontier_.push_back(node);
  }
}

void TreeBuilder::finish(DraftTree& tree) {
  tree.nodes.clear();
  for (int32_t node : kept_) {
    Node& kept = nodes_[static_cast<size_t>(node)];
    kept.index = static_cast<int32_t>(tree.nodes.size());
    const int32_t parent = kept.parent == kAnchor ? kAnchor : nodes_[static_cast<size_t>(kept.parent)].index;
    tree.nodes.push_back({kept.token, parent, kept.path_probability});
  }
}

}  // namespace ft::draft
