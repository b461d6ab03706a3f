// What a constraint makes of a drafted tree.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/constraint.h"
#include "draft/drafter.h"
#include "draft/tree_order.h"

namespace ft::draft {

class BoundTree {
 public:
  // Sets memory aside for trees of so many nodes.
  explicit BoundTree(size_t nodes_max);

  // Takes nodes that request.constraint forbids out of the tree, with all behind them, and adds the tokens that it
  // forces: each is its parent's only child, of DraftSource::kForced and as probable as the parent. At most
  // request.nodes_max nodes stay, in DraftTree's order. Nothing changes without a constraint, and for a drawn
  // chain, whose nodes must be the drawn ones.
  void bind(const ProposeRequest& request, DraftTree& tree);

 private:
  void take_allowed(std::span<const DraftNode> nodes, const Constraint& anchor);
  void add_forced(const Constraint& anchor, int32_t nodes_max);
  void add_chain(int32_t parent, const Constraint& state, size_t length_max);

  std::vector<DraftNode> nodes_;    // of the bound tree, parents first
  std::vector<Constraint> states_;  // behind each of them
  std::vector<int32_t> place_;      // of the drafted nodes in it; -2: taken out
  std::vector<int32_t> by_chance_;  // nodes, the most probable first
  std::vector<uint8_t> has_child_;  // of node i - 1, the anchor being -1
  TreeOrder order_;
};

}  // namespace ft::draft
