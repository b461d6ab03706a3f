// The tree of drafted tokens that one forward pass verifies for one request; plain decoding is the tree with
// one node.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/error.h"

namespace ft::verify {

// Node 0 is the anchor: the last emitted token, not yet run through the target. Parents come before their
// children, and siblings have different tokens. A node's absolute position is the anchor's + depth.
struct TokenTree {
  struct Node {
    int32_t token = 0;
    int32_t parent = -1;  // node index; -1 for the anchor
    int32_t depth = 0;    // 0 for the anchor
    // Estimated probability that the node is on the accepted path; 1 for the anchor, never above the
    // parent's.
    float path_probability = 1.0f;
    // The children of a node as a list in the order they were added: node indices, -1 = none. The next child
    // is appended to the last.
    int32_t first_child = -1;
    int32_t last_child = -1;
    int32_t next_sibling = -1;
  };

  int32_t size() const { return static_cast<int32_t>(nodes.size()); }
  const Node& operator[](int64_t node) const { return nodes[static_cast<size_t>(node)]; }
  void clear() { nodes.clear(); }
  void reserve(int32_t count) { nodes.reserve(static_cast<size_t>(count)); }

  // Clears and places the anchor.
  void start(int32_t anchor);
  // Appends a child of `parent`, an existing node, and returns its index.
  int32_t add(int32_t token, int32_t parent, float probability) {
    const int32_t added = size();
    nodes.emplace_back();
    place(added, {token, parent, probability});
    return added;
  }
  struct Child {
    int32_t token = 0;
    int32_t parent = 0;
    float path_probability = 0.0f;
  };
  // The same as start(anchor) and then add() for child(0), ..., child(count - 1).
  template <class Describe>
  void assign(int32_t anchor, size_t count, Describe child) {
    nodes.resize(count + 1);
    nodes[0] = {.token = anchor};
    for (size_t i = 0; i < count; ++i) place(static_cast<int32_t>(i + 1), child(i));
  }

  // The child of `node` with this token, or -1. Looks at the node's children only.
  int32_t child(int32_t node, int32_t token) const;

  std::vector<Node> nodes;  // to be changed by the functions above only

 private:
  void place(int32_t added, const Child& child) {
    FT_CHECK(child.parent >= 0 && child.parent < added, child.parent, added);
    Node* const all = nodes.data();
    Node& parent = all[child.parent];
    all[added] = {.token = child.token,
                  .parent = child.parent,
                  .depth = parent.depth + 1,
                  .path_probability = child.path_probability};
    // At the end of the list: drafters add the likeliest sibling first, and a walk should meet it first.
    const int32_t before = std::exchange(parent.last_child, added);
    // Not a branch: whether a node is its parent's first child would be guessed wrong too often.
    int32_t Node::*const link = before == -1 ? &Node::first_child : &Node::next_sibling;
    all[before == -1 ? child.parent : before].*link = added;
  }
};

// kInvalidArgument with the node and the rule it breaks, for any tree that is not as described above or has
// token ids outside [0, vocab_size). For tests and checks of new drafters, not for the step path.
Result<void> validate(const TokenTree& tree, int64_t vocab_size);

}  // namespace ft::verify
