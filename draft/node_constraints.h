// The states of a request's constraint at the nodes of its tree, while that grows.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "core/check.h"
#include "core/constraint.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class NodeConstraints {
 public:
  // `anchor`: the state behind it, or null. Must live until the tree is finished.
  void start(const Constraint* anchor) {
    anchor_ = anchor;
    states_.clear();
  }
  bool bound() const { return anchor_ != nullptr; }

  // The state behind a node of the builder's tree, all of whose tokens were allowed. Valid until the next start.
  const Constraint& at(const TreeBuilder& builder, int32_t node) {
    if (node == TreeBuilder::kAnchor) return *anchor_;
    const auto known = states_.find(node);
    if (known != states_.end()) return known->second;
    std::optional<Constraint> state = at(builder, builder.parent(node)).after(builder.token(node));
    FT_CHECK(state.has_value(), node, builder.token(node));
    return states_.emplace(node, std::move(*state)).first->second;
  }

 private:
  const Constraint* anchor_ = nullptr;
  std::unordered_map<int32_t, Constraint> states_;
};

}  // namespace ft::draft
