#include "draft/tree_builder.h"

#include <algorithm>

#include "core/check.h"
#include "core/keyed_ranking.h"

namespace ft::draft {

TreeBuilder::TreeBuilder() {
  constexpr size_t kNodesMax = size_t{kDepthMax} * kFrontierMax * kChildrenMax;
  nodes_.reserve(kNodesMax);
  kept_.reserve(kNodesMax);
  frontier_.reserve(kFrontierMax);
}

void TreeBuilder::start(const ProposeRequest& request, DraftSource source, int32_t depth_max,
                        int32_t frontier_max) {
  chain_ = request.draw || request.shape == TreeShape::kChain;
  keeps_all_ = request.draw;
  nodes_max_ = request.nodes_max;
  depth_max_ = std::min(depth_max, kDepthMax);
  frontier_max_ = std::min(frontier_max, kFrontierMax);
  source_ = source;
  shares_ = &share_model(request);
  depth_ = 0;
  last_parent_ = kRejected;
  level_begin_ = 0;
  nodes_.clear();
  kept_.clear();
  frontier_.clear();
  if (nodes_max_ > 0 && depth_max_ > 0) frontier_.push_back(kAnchor);
}

int32_t TreeBuilder::add(int32_t parent, int32_t token, float score) {
  FT_CHECK(parent == kAnchor || nodes_[static_cast<size_t>(parent)].depth == depth_, parent, depth_);
  if (parent != last_parent_) {
    last_parent_ = parent;
    rank_ = 0;
    split_ = ShareSplit();
  } else if (chain_) {
    return kRejected;
  }
  const int32_t rank = rank_++;
  // What even all that is left would not change needs no share.
  const bool full = static_cast<int32_t>(kept_.size()) == nodes_max_;
  if (full && !keeps_all_ &&
      path_probability(parent) * split_.most(source_) <= path_probability(kept_.back()))
    return kRejected;
  float share = split_.next(*shares_, source_, depth_ + 1, rank, score);
  if (!(share > 0.0f)) {
    // Whether a drawn token is offered must not depend on the token (dspark.md 3.3).
    if (!keeps_all_) return kRejected;
    share = 0.0f;
  }
  const float probability = path_probability(parent) * share;
  if (full && probability <= path_probability(kept_.back())) return kRejected;
  const auto node = static_cast<int32_t>(nodes_.size());
  nodes_.push_back({token, parent, depth_ + 1, probability, score, rank, kRejected, 0});
  if (!full) {
    kept_.push_back(node);
    // From now on the least has to go for every one that comes.
    if (static_cast<int32_t>(kept_.size()) == nodes_max_) sort_kept();
    return node;
  }
  // A new node is deeper or later than all the others, so it goes behind its equals, which keeps every parent
  // before its children.
  kept_.pop_back();
  const auto place = std::partition_point(
      kept_.begin(), kept_.end(), [&](int32_t other) { return path_probability(other) >= probability; });
  kept_.insert(place, node);
  return node;
}

// Few, and nearly in order: an insertion sort, which leaves equal ones as they were added.
void TreeBuilder::sort_kept() {
  for (size_t i = 1; i < kept_.size(); ++i) {
    const int32_t node = kept_[i];
    const float probability = path_probability(node);
    size_t place = i;
    for (; place > 0 && path_probability(kept_[place - 1]) < probability; --place)
      kept_[place] = kept_[place - 1];
    kept_[place] = node;
  }
}

void TreeBuilder::descend() {
  ++depth_;
  frontier_.clear();
  last_parent_ = kRejected;
  const size_t level = level_begin_;
  level_begin_ = nodes_.size();
  if (depth_ >= depth_max_) return;
  // With no room left, children of the last node kept could not displace anything, nor could those of one
  // that was displaced itself.
  const bool full = static_cast<int32_t>(kept_.size()) == nodes_max_;
  const float least = full ? path_probability(kept_.back()) : -1.0f;
  // The most probable of the level's nodes, in order; equal ones as they were added.
  for (size_t i = level; i < nodes_.size(); ++i) {
    const float probability = nodes_[i].path_probability;
    if (probability <= least) continue;
    size_t place = frontier_.size();
    while (place > 0 && path_probability(frontier_[place - 1]) < probability) --place;
    if (place == static_cast<size_t>(frontier_max_)) continue;
    if (frontier_.size() == static_cast<size_t>(frontier_max_)) frontier_.pop_back();
    frontier_.insert(frontier_.begin() + static_cast<std::ptrdiff_t>(place), static_cast<int32_t>(i));
  }
}

void TreeBuilder::finish(DraftTree& tree) {
  if (static_cast<int32_t>(kept_.size()) < nodes_max_) sort_kept();
  tree.nodes.clear();
  for (int32_t node : kept_) {
    Node& kept = nodes_[static_cast<size_t>(node)];
    kept.index = static_cast<int32_t>(tree.nodes.size());
    const int32_t parent = kept.parent == kAnchor ? kAnchor : nodes_[static_cast<size_t>(kept.parent)].index;
    tree.nodes.push_back({kept.token, parent, kept.path_probability, kept.score,
                          static_cast<uint8_t>(kept.rank), static_cast<uint8_t>(kept.depth), source_});
  }
}

const ShareModel& share_model(const ProposeRequest& request) {
  return request.shares != nullptr ? *request.shares
                                   : default_share_model(request.temperature < kGreedyTemperature);
}

}  // namespace ft::draft
