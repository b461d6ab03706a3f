// The tree of drafted tokens that one forward pass verifies for one request; plain decoding is the tree with
// one node.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"

namespace ft::verify {

// Node 0 is the anchor: the last emitted token, not yet run through the target. Parents come before their
// children, and siblings have different tokens. A node's absolute position is the anchor's + depth.
struct TokenTree {
  std::vector<int32_t> token;
  std::vector<int32_t> parent;  // node index; -1 for the anchor
  std::vector<int32_t> depth;   // 0 for the anchor
  // Estimated probability that the node is on the accepted path; 1 for the anchor, never above the parent's.
  std::vector<float> path_probability;
  // The children of a node as a list in the order they were added, kept by add(): node indices, -1 = none.
  std::vector<int32_t> first_child;
  std::vector<int32_t> next_sibling;

  int32_t size() const { return static_cast<int32_t>(token.size()); }
  void clear();
  void reserve(int32_t nodes);

  // Clears and places the anchor.
  void start(int32_t anchor);
  // Appends a child of `parent_node`, an existing node, and returns its index.
  int32_t add(int32_t token_id, int32_t parent_node, float probability);

  // The child of `node` with this token, or -1. Looks at the node's children only.
  int32_t child(int32_t node, int32_t token_id) const;
};

// kInvalidArgument with the node and the rule it breaks, for any tree that is not as described above or has
// token ids outside [0, vocab_size). For tests and checks of new drafters, not for the step path.
Result<void> validate(const TokenTree& tree, int64_t vocab_size);

}  // namespace ft::verify
