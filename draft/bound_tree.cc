#include "draft/bound_tree.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <optional>
#include <utility>

namespace ft::draft {

namespace {

constexpr int32_t kAnchor = -1;
constexpr int32_t kTakenOut = -2;
constexpr int kDepthMost = 255;  // what a node's depth can say

float probability_of(std::span<const DraftNode> nodes, int32_t node) {
  return node == kAnchor ? 1.0f : nodes[static_cast<size_t>(node)].path_probability;
}

}  // namespace

BoundTree::BoundTree(size_t nodes_max) : order_(2 * nodes_max) {}

void BoundTree::bind(const ProposeRequest& request, DraftTree& tree) {
  if (request.constraint == nullptr || request.draw || request.nodes_max <= 0) return;
  try {
    take_allowed(tree.nodes, *request.constraint);
    add_forced(*request.constraint, request.nodes_max);
  } catch (const std::exception&) {
    tree.nodes.clear();  // a constraint that fails has no drafts; sampling meets it too, and says so
    return;
  }
  order_.take_best(nodes_, request.nodes_max, tree.nodes);
}

void BoundTree::take_allowed(std::span<const DraftNode> nodes, const Constraint& anchor) {
  nodes_.clear();
  states_.clear();
  place_.assign(nodes.size(), kTakenOut);
  has_child_.assign(1, 0);
  for (size_t i = 0; i < nodes.size(); ++i) {
    DraftNode node = nodes[i];
    const int32_t parent = node.parent == kAnchor ? kAnchor : place_[static_cast<size_t>(node.parent)];
    if (parent == kTakenOut) continue;
    const Constraint& before = parent == kAnchor ? anchor : states_[static_cast<size_t>(parent)];
    const std::span<const int32_t> forced = before.forced();
    if (!forced.empty() && forced.front() != node.token) continue;
    std::optional<Constraint> behind = before.after(node.token);
    if (!behind) continue;
    // What its parent has gained by being certain, a node gains too.
    const float conditional = node.path_probability / std::max(probability_of(nodes, node.parent), 1e-30f);
    node.path_probability = probability_of(nodes_, parent);
    if (forced.empty()) {
      node.path_probability *= std::min(conditional, 1.0f);
    } else {
      node.source = DraftSource::kForced;
      node.rank = 0;
    }
    node.parent = parent;
    has_child_[static_cast<size_t>(parent + 1)] = 1;
    place_[i] = static_cast<int32_t>(nodes_.size());
    nodes_.push_back(node);
    states_.push_back(std::move(*behind));
    has_child_.push_back(0);
  }
}

// Chains behind the most probable nodes first: once there are `nodes_max` nodes in chains, no other could be
// among the best so many.
void BoundTree::add_forced(const Constraint& anchor, int32_t nodes_max) {
  const size_t drafted = nodes_.size();
  const auto most = drafted + static_cast<size_t>(nodes_max);
  by_chance_.resize(drafted + 1);
  std::iota(by_chance_.begin(), by_chance_.end(), kAnchor);
  std::ranges::stable_sort(by_chance_, [&](int32_t a, int32_t b) {
    return probability_of(nodes_, a) > probability_of(nodes_, b);
  });
  for (const int32_t node : by_chance_) {
    if (nodes_.size() >= most) return;
    if (has_child_[static_cast<size_t>(node + 1)] != 0) continue;
    const Constraint state = node == kAnchor ? anchor : states_[static_cast<size_t>(node)];
    add_chain(node, state, most - nodes_.size());
  }
}

// The tokens that are forced behind `parent`, one after the other, and what is forced behind these.
void BoundTree::add_chain(int32_t parent, const Constraint& state, size_t length_max) {
  DraftNode node;
  node.parent = parent;
  node.path_probability = probability_of(nodes_, parent);
  node.score = kScoreMost;
  node.source = DraftSource::kForced;
  int depth = parent == kAnchor ? 0 : nodes_[static_cast<size_t>(parent)].depth;
  Constraint here = state;
  for (size_t length = 0; length < length_max && depth < kDepthMost; ++length) {
    const std::span<const int32_t> forced = here.forced();
    if (forced.empty()) return;
    node.token = forced.front();
    if (!here.advance(node.token)) return;
    node.depth = static_cast<uint8_t>(++depth);
    nodes_.push_back(node);
    node.parent = static_cast<int32_t>(nodes_.size()) - 1;
  }
}

}  // namespace ft::draft
