#include "draft/tree_builder.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/check.h"
#include "core/keyed_ranking.h"

namespace ft::draft {

TreeBuilder::TreeBuilder() {
  constexpr size_t kNodesMax = size_t{kDepthMax} * kFrontierMax * kChildrenMax;
  nodes_.resize(kNodesMax);
  tags_.resize(kNodesMax);
  places_.resize(kNodesMax);
  kept_.reserve(kNodesMax);
}

void TreeBuilder::start(const ProposeRequest& request, DraftSource source, int32_t depth_max,
                        int32_t frontier_max) {
  chain_ = request.draw || request.shape == TreeShape::kChain;
  keeps_all_ = request.draw;
  nodes_max_ = request.nodes_max;
  depth_max_ = std::min(depth_max, kDepthMax);
  frontier_max_ = static_cast<size_t>(std::clamp(frontier_max, 1, kFrontierMax));
  source_ = source;
  shares_ = &share_model(request);
  depth_ = 0;
  level_begin_ = 0;
  least_ = 1.0f;
  count_ = 0;
  kept_.clear();
  frontier_[0] = kAnchor;
  frontier_size_ = nodes_max_ > 0 && depth_max_ > 0 ? 1 : 0;
}

std::span<const int32_t> TreeBuilder::expand(int32_t parent, std::span<const Child> children) {
  FT_CHECK(children.size() <= added_.size(), children.size());
  FT_CHECK(static_cast<size_t>(count_) + children.size() <= nodes_.size(), count_);  // a node expanded twice
  const size_t considered = chain_ ? std::min<size_t>(children.size(), 1) : children.size();
  float before = 1.0f;
  if (parent != kAnchor) {
    const DraftNode& expanded = nodes_[static_cast<size_t>(parent)];
    FT_CHECK(expanded.depth == depth_, parent, expanded.depth, depth_);
    before = expanded.path_probability;
  }
  size_t j = 0;
  // Where even all of it would not change what is kept, no child needs its share.
  if (!full() || keeps_all_ || before > least_) {
    // Members are looked up once: what is written below could be any of them.
    DraftNode* const nodes = nodes_.data();
    int32_t* const tags = tags_.data();
    const DraftSource source = source_;
    const auto depth = static_cast<uint8_t>(depth_ + 1);
    const ShareRow& row = shares_->row(source, depth);
    // The first ones all at once: the exponential of one does not wait for that of another.
    const auto score = [&](size_t k) { return k < considered ? children[k].score : 0.0f; };
    std::array<float, ShareRow::kLanes> first_parts;
    store4(row.shares(Float4{score(0), score(1), score(2), score(3)}), first_parts.data());
    float remaining = 1.0f;
    float bound = 1.0f;
    int32_t count = count_;
    for (; j < considered; ++j) {
      const Child child = children[j];
      const float part =
          j < first_parts.size() ? first_parts[j] : row.share(static_cast<int>(j), child.score);
      float share = ShareSplit::take(part, remaining, bound);
      added_[j] = kRejected;
      if (!(share > 0.0f)) {
        // Whether a drawn token is offered must not depend on the token (dspark.md 3.3).
        if (!keeps_all_) continue;
        share = 0.0f;
      }
      const float probability = before * share;
      const bool displaces = count >= nodes_max_;
      if (displaces && probability <= least_) continue;
      nodes[count] = {child.token, parent, probability, child.score, static_cast<uint8_t>(j), depth, source};
      tags[count] = kRejected;
      added_[j] = count;
      if (displaces)
        displace({probability, count});
      else
        least_ = std::min(least_, probability);
      ++count;
    }
    count_ = count;
  }
  for (; j < children.size(); ++j) added_[j] = kRejected;
  return std::span(added_).first(children.size());
}

// The least node goes for the one that was just added.
void TreeBuilder::displace(Ranked added) {
  if (kept_.empty()) {
    for (int32_t node = 0; node < added.node(); ++node)
      kept_.emplace_back(nodes_[static_cast<size_t>(node)].path_probability, node);
    sort_kept();
  }
  // In falling order a new node, deeper or later than all others, goes behind its equals, which keeps every
  // parent before its children.
  kept_.pop_back();
  kept_.insert(std::ranges::lower_bound(kept_, added, std::greater<>()), added);
  least_ = kept_.back().probability();
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
  for (int32_t node = level; node < count_; ++node) {
    const float probability = nodes_[static_cast<size_t>(node)].path_probability;
    if (probability <= least) continue;
    if (frontier_size_ < frontier_max_)
      ++frontier_size_;
    else if (best[frontier_size_ - 1] >= probability)
      continue;
    size_t place = frontier_size_ - 1;
    for (; place > 0 && best[place - 1] < probability; --place) {
      best[place] = best[place - 1];
      frontier_[place] = frontier_[place - 1];
    }
    best[place] = probability;
    frontier_[place] = node;
  }
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

const ShareModel& share_model(const ProposeRequest& request) {
  return request.shares != nullptr ? *request.shares
                                   : default_share_model(request.temperature < kGreedyTemperature);
}

}  // namespace ft::draft
