// Brings the nodes of a tree into the order that DraftTree promises, and keeps the best of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"

namespace ft::draft {

class TreeOrder {
 public:
  // Sets memory aside for trees of so many nodes.
  explicit TreeOrder(size_t nodes_max);

  // out = the `nodes_max` most probable of `nodes` with a probability above 0; equal ones shallower first,
  // then as they were. A node comes behind its parent in `nodes` and is not more probable. `out` may not be
  // `nodes`.
  void take_best(std::span<const DraftNode> nodes, int32_t nodes_max, std::vector<DraftNode>& out);

 private:
  std::vector<int32_t> order_;
  std::vector<int32_t> place_;  // of each node in the result
};

}  // namespace ft::draft
