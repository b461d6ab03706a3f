#include "verify/token_tree.h"

#include <optional>

#include "core/check.h"

namespace ft::verify {

void TokenTree::clear() {
  token.clear();
  parent.clear();
  depth.clear();
  path_probability.clear();
  first_child.clear();
  next_sibling.clear();
}

void TokenTree::reserve(int32_t nodes) {
  const size_t count = static_cast<size_t>(nodes);
  token.reserve(count);
  parent.reserve(count);
  depth.reserve(count);
  path_probability.reserve(count);
  first_child.reserve(count);
  next_sibling.reserve(count);
}

void TokenTree::start(int32_t anchor) {
  clear();
  token.push_back(anchor);
  parent.push_back(-1);
  depth.push_back(0);
  path_probability.push_back(1.0f);
  first_child.push_back(-1);
  next_sibling.push_back(-1);
}

int32_t TokenTree::add(int32_t token_id, int32_t parent_node, float probability) {
  FT_CHECK(parent_node >= 0 && parent_node < size(), parent_node, size());
  token.push_back(token_id);
  parent.push_back(parent_node);
  depth.push_back(depth[static_cast<size_t>(parent_node)] + 1);
  path_probability.push_back(probability);
  first_child.push_back(-1);
  next_sibling.push_back(-1);
  // At the end of the list: drafters add the likeliest sibling first, and a walk should meet it first.
  int32_t* link = &first_child[static_cast<size_t>(parent_node)];
  while (*link != -1) link = &next_sibling[static_cast<size_t>(*link)];
  *link = size() - 1;
  return *link;
}

int32_t TokenTree::child(int32_t node, int32_t token_id) const {
  int32_t at = first_child[static_cast<size_t>(node)];
  while (at != -1 && token[static_cast<size_t>(at)] != token_id) at = next_sibling[static_cast<size_t>(at)];
  return at;
}

namespace {

// The first node of [begin, end) with this parent (and, if given, this token), or -1: by parents alone.
int32_t find_child(const TokenTree& tree, int32_t begin, int32_t end, int32_t parent,
                   std::optional<int32_t> token = {}) {
  for (int32_t node = begin; node < end; ++node) {
    const size_t i = static_cast<size_t>(node);
    if (tree.parent[i] == parent && tree.token[i] == token.value_or(tree.token[i])) return node;
  }
  return -1;
}

}  // namespace

Result<void> validate(const TokenTree& tree, int64_t vocab_size) {
  constexpr ErrorCode kBroken = ErrorCode::kInvalidArgument;
  const size_t count = tree.token.size();
  if (count == 0 || tree.parent.size() != count || tree.depth.size() != count ||
      tree.path_probability.size() != count || tree.first_child.size() != count ||
      tree.next_sibling.size() != count) {
    return fail(kBroken, "tree has {} tokens, {} parents, {} depths, {} probabilities, {} and {} links",
                count, tree.parent.size(), tree.depth.size(), tree.path_probability.size(),
                tree.first_child.size(), tree.next_sibling.size());
  }
  for (int32_t node = 0; node < tree.size(); ++node) {
    const size_t i = static_cast<size_t>(node);
    const int32_t token = tree.token[i];
    const int32_t parent = tree.parent[i];
    const int32_t depth = tree.depth[i];
    const float probability = tree.path_probability[i];
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
    const int32_t parent_depth = tree.depth[static_cast<size_t>(parent)];
    const float parent_probability = tree.path_probability[static_cast<size_t>(parent)];
    if (depth != parent_depth + 1) {
      return fail(kBroken, "tree node {}: depth {} under a parent of depth {}", node, depth, parent_depth);
    }
    if (!(probability >= 0.0f && probability <= parent_probability)) {
      return fail(kBroken, "tree node {}: path probability {} under a parent's {}", node, probability,
                  parent_probability);
    }
    if (find_child(tree, 1, node, parent, token) != -1) {
      return fail(kBroken, "tree node {}: token {} twice under parent {}", node, token, parent);
    }
  }
  for (int32_t node = 0; node < tree.size(); ++node) {
    const size_t i = static_cast<size_t>(node);
    const int32_t child = find_child(tree, node + 1, tree.size(), node);
    const int32_t sibling = node == 0 ? -1 : find_child(tree, node + 1, tree.size(), tree.parent[i]);
    if (tree.first_child[i] != child || tree.next_sibling[i] != sibling) {
      return fail(kBroken, "tree node {}: links to child {} and sibling {}, by their parents {} and {}", node,
                  tree.first_child[i], tree.next_sibling[i], child, sibling);
    }
  }
  return {};
}

}  // namespace ft::verify
