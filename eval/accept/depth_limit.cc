#include "eval/accept/depth_limit.h"

namespace ft::eval {

namespace {

// Parents come before their children, so what is left is closed under parents; only their places change.
void cut(draft::DraftTree& tree, int32_t depth) {
  std::vector<int32_t> places(tree.nodes.size(), -1);
  const size_t drawn = tree.nodes.empty() ? 0 : tree.probability.size() / tree.nodes.size();
  size_t kept = 0;
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    draft::DraftNode node = tree.nodes[i];
    if (node.depth > depth) continue;
    if (node.parent >= 0) node.parent = places[static_cast<size_t>(node.parent)];
    places[i] = static_cast<int32_t>(kept);
    tree.nodes[kept++] = node;
  }
  tree.nodes.resize(kept);
  // A drawn chain: its first nodes are left, with their distributions.
  tree.probability.resize(kept * drawn);
}

}  // namespace

void DepthLimit::propose(std::span<const draft::ProposeRequest> requests, std::span<draft::DraftTree> trees) {
  DrafterWrapper::propose(requests, trees);
  for (size_t i = 0; i < requests.size(); ++i) cut(trees[i], depth_);
}

}  // namespace ft::eval
