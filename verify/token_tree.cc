#include "verify/token_tree.h"

#include <optional>

namespace ft::verify {

void TokenTree::start(int32_t anchor) {
  nodes.clear();
  nodes.push_back({.token = anchor});
}

int32_t TokenTree::child(int32_t node, int32_t token) const {
  int32_t at = (*this)[node].first_child;
  while (at != -1 && (*this)[at].token != token) at = (*this)[at].next_sibling;
  return at;
}

namespace {

// The first node of [begin, end) with this parent (and, if given, this token), or -1: by parents alone.
int32_t find_child(const TokenTree& tree, int32_t begin, int32_t end, int32_t parent,
                   std::optional<int32_t> token = {}) {
  for (int32_t node = begin; node < end; ++node)
    if (tree[node].parent == parent && tree[node].token == token.value_or(tree[node].token)) return node;
  return -1;
}

}  // namespace

Result<void> validate(const TokenTree& tree, int64_t vocab_size) {
  constexpr ErrorCode kBroken = ErrorCode::kInvalidArgument;
  if (tree.size() == 0) return fail(kBroken, "tree without an anchor");
  for (int32_t node = 0; node < tree.size(); ++node) {
    const int32_t token = tree[node].token;
    const int32_t parent = tree[node].parent;
    const int32_t depth = tree[node].depth;
    const float probability = tree[node].path_probability;
    if (token < 0 || token >= vocab_size) {
      return fail(kBroken, "tree node {}: token {} outside [0, {})", node, token, vocab_size);
    }
    if (node == 0) {
      if (parent == -1 && depth == 0 && probability == 1.0f) continue;
      return fail(kBroken, "tree node 0: an anchor with parent {}, depth {}, probability {}", parent, depth,
                  probability);
    }
    if (parent < 0 || parent >= node) {
      return fail(kBroken, "tree node {}: parent {} does not come before it", node, parent);
    }
    if (depth != tree[parent].depth + 1) {
      return fail(kBroken, "tree node {}: depth {} under a parent of depth {}", node, depth,
                  tree[parent].depth);
    }
    if (!(probability >= 0.0f && probability <= tree[parent].path_probability)) {
      return fail(kBroken, "tree node {}: path probability {} under a parent's {}", node, probability,
                  tree[parent].path_probability);
    }
    if (find_child(tree, 1, node, parent, token) != -1) {
      return fail(kBroken, "tree node {}: token {} twice under parent {}", node, token, parent);
    }
  }
  for (int32_t node = 0; node < tree.size(); ++node) {
    const int32_t first = find_child(tree, node + 1, tree.size(), node);
    int32_t last = first;
    for (int32_t next = first; next != -1; next = find_child(tree, next + 1, tree.size(), node)) last = next;
    const int32_t sibling = node == 0 ? -1 : find_child(tree, node + 1, tree.size(), tree[node].parent);
    const TokenTree::Node& links = tree[node];
    if (links.first_child != first || links.last_child != last || links.next_sibling != sibling) {
      return fail(kBroken,
                  "tree node {}: links to children {} to {} and sibling {}, by their parents {} to {} and {}",
                  node, links.first_child, links.last_child, links.next_sibling, first, last, sibling);
    }
  }
  return {};
}

}  // namespace ft::verify
