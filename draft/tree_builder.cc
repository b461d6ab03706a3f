#include "draft/tree_builder.h"

#include <algorithm>
#include <array>
#include <functional>

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
  level_begin_ = 0;
  falling_ = false;
  least_ = 1.0f;
  nodes_.clear();
  kept_.clear();
  frontier_.clear();
  if (nodes_max_ > 0 && depth_max_ > 0) frontier_.push_back(kAnchor);
}

std::span<const int32_t> TreeBuilder::expand(int32_t parent, std::span<const Child> children) {
  FT_CHECK(parent == kAnchor || nodes_[static_cast<size_t>(parent)].depth == depth_, parent, depth_);
  FT_CHECK(children.size() <= added_.size(), children.size());
  added_.fill(kRejected);
  const std::span<const int32_t> added = std::span(added_).first(children.size());
  if (chain_ && children.size() > 1) children = children.first(1);
  const float before = path_probability(parent);
  // Where even all of it would not change what is kept, no child needs its share.
  if (full() && !keeps_all_ && before <= least_) return added;
  std::array<float, kChildrenMax> parts;
  // All at once: the exponentials of one child do not wait for those of another.
  for (size_t j = 0; j < children.size(); ++j)
    parts[j] = shares_->share(source_, depth_ + 1, static_cast<int>(j), children[j].score);
  ShareSplit split;
  for (size_t j = 0; j < children.size(); ++j) {
    float share = split.next(source_, parts[j]);
    if (!(share > 0.0f)) {
      // Whether a drawn token is offered must not depend on the token (dspark.md 3.3).
      if (!keeps_all_) continue;
      share = 0.0f;
    }
    const float probability = before * share;
    if (full() && probability <= least_) continue;
    added_[j] = add(parent, children[j], static_cast<int32_t>(j), probability);
  }
  return added;
}

int32_t TreeBuilder::add(int32_t parent, const Child& child, int32_t rank, float probability) {
  const auto node = static_cast<int32_t>(nodes_.size());
  nodes_.push_back({child.token, parent, depth_ + 1, probability, child.score, rank, kRejected, 0});
  const Ranked ranked(probability, node);
  if (!full()) {
    kept_.push_back(ranked);
    least_ = std::min(least_, probability);
    return node;
  }
  // From now on the least has to go for every one that comes. In falling order, a new node, deeper or later
  // than all others, goes behind its equals, which keeps every parent before its children.
  if (!falling_) sort_kept();
  falling_ = true;
  kept_.pop_back();
  kept_.insert(std::ranges::lower_bound(kept_, ranked, std::greater<>()), ranked);
  least_ = kept_.back().probability();
  return node;
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
  frontier_.clear();
  const size_t level = level_begin_;
  level_begin_ = nodes_.size();
  if (depth_ >= depth_max_) return;
  // With no room left, children of the last node kept could not displace anything, nor could those of one
  // that was displaced itself.
  const float least = full() ? least_ : -1.0f;
  // The most probable of the level's nodes, in order.
  std::array<Ranked, kFrontierMax> best;
  size_t count = 0;
  for (size_t i = level; i < nodes_.size(); ++i) {
    const float probability = nodes_[i].path_probability;
    if (probability <= least) continue;
    const Ranked ranked(probability, static_cast<int32_t>(i));
    if (count < static_cast<size_t>(frontier_max_)) {
      ++count;
    } else if (count == 0 || best[count - 1] > ranked) {
      continue;
    }
    size_t place = count - 1;
    for (; place > 0 && best[place - 1] < ranked; --place) best[place] = best[place - 1];
    best[place] = ranked;
  }
  for (size_t i = 0; i < count; ++i) frontier_.push_back(best[i].node());
}

void TreeBuilder::finish(DraftTree& tree) {
  tree.nodes.resize(kept_.size());
  for (size_t i = 0; i < kept_.size(); ++i) {
    Node& kept = nodes_[static_cast<size_t>(kept_[i].node())];
    kept.index = static_cast<int32_t>(i);
    const int32_t parent = kept.parent == kAnchor ? kAnchor : nodes_[static_cast<size_t>(kept.parent)].index;
    tree.nodes[i] = {kept.token,
                     parent,
                     kept.path_probability,
                     kept.score,
                     static_cast<uint8_t>(kept.rank),
                     static_cast<uint8_t>(kept.depth),
                     source_};
  }
}

const ShareModel& share_model(const ProposeRequest& request) {
  return request.shares != nullptr ? *request.shares
                                   : default_share_model(request.temperature < kGreedyTemperature);
}

}  // namespace ft::draft
