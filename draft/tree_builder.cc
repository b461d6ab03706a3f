#include "draft/tree_builder.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/check.h"
#include "core/keyed_ranking.h"

namespace ft::draft {

TreeBuilder::TreeBuilder() {
  nodes_.resize(kNodesMax);
  tags_.resize(kNodesMax);
  places_.resize(kNodesMax);
  kept_.reserve(kNodesMax);
}

void TreeBuilder::start(const ProposeRequest& request, DraftSource source, int32_t depth_max,
                        int32_t frontier_max) {
  children_max_ = request.draw || request.shape == TreeShape::kChain ? 1 : kChildrenMax;
  nodes_max_ = request.nodes_max;
  depth_max_ = std::min(depth_max, kDepthMax);
  frontier_max_ = static_cast<size_t>(std::clamp(frontier_max, 1, kFrontierMax));
  source_ = source;
  table_ = &acceptance_of(request);
  depth_ = 0;
  level_begin_ = 0;
  least_ = 1.0f;
  count_ = 0;
  kept_.clear();
  frontier_[0] = kAnchor;
  frontier_size_ = nodes_max_ > 0 && depth_max_ > 0 ? 1 : 0;
}

TreeBuilder::Added TreeBuilder::expand(int32_t parent, std::span<const Child> children) {
  FT_CHECK(children.size() <= kChildrenMax, children.size());
  FT_CHECK(count_ <= kNodesMax - kChildrenMax, count_);  // a node expanded twice
  float before = 1.0f;
  if (parent != kAnchor) {
    const DraftNode& expanded = nodes_[static_cast<size_t>(parent)];
    FT_CHECK(expanded.depth == depth_, parent, expanded.depth, depth_);
    before = expanded.path_probability;
  }
  const int32_t first = count_;
  // Where even all of it would not change what is kept, no child needs its probability.
  if (full() && before <= least_) return {first, 0};
  const size_t considered = std::min(children.size(), children_max_);
  // Members are looked up once: what is written below could be any of them.
  DraftNode* const nodes = nodes_.data();
  const DraftSource source = source_;
  const auto depth = static_cast<uint8_t>(depth_ + 1);
  const DepthAcceptance& row = table_->row(source, depth);
  float remaining = 1.0f;
  float conditional = 1.0f;
  float least = least_;
  int32_t count = first;
  const int32_t room = nodes_max_;
  for (size_t j = 0; j < considered; ++j) {
    const Child child = children[j];
    const float part = child.forced ? 1.0f : row.probability(static_cast<int>(j), child.score);
    ConditionalSplit::take(part, remaining, conditional);
    if (!(conditional > 0.0f)) break;
    const float probability = before * conditional;
    if (count >= room && probability <= least) break;
    nodes[count] = {child.token,
                    parent,
                    probability,
                    child.score,
                    static_cast<uint8_t>(j),
                    depth,
                    child.forced ? DraftSource::kForced : source};
    if (count >= room)
      least = displace({probability, count});
    else
      least = std::min(least, probability);
    ++count;
  }
  least_ = least;
  count_ = count;
  return {first, count - first};
}

// The least node goes for the one that was just added. Returns the probability of the least one then.
float TreeBuilder::displace(Ranked added) {
  if (kept_.empty()) {
    for (int32_t node = 0; node < added.node(); ++node)
      kept_.emplace_back(nodes_[static_cast<size_t>(node)].path_probability, node);
    sort_kept();
  }
  // In falling order a new node, deeper or later than all others, goes behind its equals, which keeps every
  // parent before its children.
  kept_.pop_back();
  kept_.insert(std::ranges::lower_bound(kept_, added, std::greater<>()), added);
  return kept_.back().probability();
}

// Few, and nearly in order: an insertion sort.
void TreeBuilder::sort_kept() {
  for (size_t i = 1; i < kept_.size(); ++i) {
    const Ranked moved = kept_[i];
    size_t place = i;
    for (; place > 0 && kept_[place - 1] < moved; --place) kept_[place] = kept_[place - 1];
    kept_[place] = moved;
  }
}

void TreeBuilder::descend() {
  ++depth_;
  frontier_size_ = 0;
  const int32_t level = level_begin_;
  level_begin_ = count_;
  if (depth_ >= depth_max_) return;
  // With no room left, children of the last node kept could not displace anything, nor could those of one
  // that was displaced itself.
  const float least = full() ? least_ : -1.0f;
  // The most probable of the level's nodes, in order; of two equally probable ones the one added first.
  std::array<float, kFrontierMax> best;
  size_t size = 0;
  for (int32_t node = level; node < count_; ++node) {
    const float probability = nodes_[static_cast<size_t>(node)].path_probability;
    if (probability <= least) continue;
    if (size < frontier_max_)
      ++size;
    else if (best[size - 1] >= probability)
      continue;
    size_t place = size - 1;
    for (; place > 0 && best[place - 1] < probability; --place) {
      best[place] = best[place - 1];
      frontier_[place] = frontier_[place - 1];
    }
    best[place] = probability;
    frontier_[place] = node;
  }
  frontier_size_ = size;
}

void TreeBuilder::finish(DraftTree& tree) {
  if (kept_.empty()) {
    tree.nodes.assign(nodes_.begin(), nodes_.begin() + count_);
    return;
  }
  tree.nodes.resize(kept_.size());
  for (size_t i = 0; i < kept_.size(); ++i) {
    const auto kept = static_cast<size_t>(kept_[i].node());
    places_[kept] = static_cast<int32_t>(i);
    tree.nodes[i] = nodes_[kept];
    int32_t& parent = tree.nodes[i].parent;
    if (parent != kAnchor) parent = places_[static_cast<size_t>(parent)];
  }
}

const AcceptanceTable& acceptance_of(const ProposeRequest& request) {
  return request.acceptance != nullptr ? *request.acceptance
                                       : default_acceptance(request.temperature < kGreedyTemperature);
}

}  // namespace ft::draft
