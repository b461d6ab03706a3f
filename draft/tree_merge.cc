#include "draft/tree_merge.h"

#include <algorithm>

#include "draft/tree_builder.h"

namespace ft::draft {

TreeMerge::TreeMerge(size_t nodes_max) : order_(2 * nodes_max) {
  nodes_.reserve(2 * nodes_max);
  place_.reserve(2 * nodes_max);
  split_.reserve(2 * nodes_max + 1);
}

int32_t TreeMerge::child(int32_t parent, int32_t token) const {
  for (size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].parent == parent && nodes_[i].token == token) return static_cast<int32_t>(i);
  return kLeftOut;
}

bool TreeMerge::has_child(int32_t parent) const {
  return std::ranges::find(nodes_, parent, &DraftNode::parent) != nodes_.end();
}

void TreeMerge::join(const DraftTree& model, const DraftTree& ngram, bool chain) {
  nodes_.assign(model.nodes.begin(), model.nodes.end());
  place_.clear();
  for (DraftNode node : ngram.nodes) {
    if (node.parent >= 0) node.parent = place_[static_cast<size_t>(node.parent)];
    int32_t place = kLeftOut;
    if (node.parent != kLeftOut) {
      place = child(node.parent, node.token);
      if (place != kLeftOut) {
        nodes_[static_cast<size_t>(place)].source = DraftSource::kBoth;
      } else if (!chain || !has_child(node.parent)) {
        place = static_cast<int32_t>(nodes_.size());
        nodes_.push_back(node);
      }
    }
    place_.push_back(place);
  }
}

void TreeMerge::merge(const ProposeRequest& request, const DraftTree& model, const DraftTree& ngram,
                      DraftTree& out) {
  join(model, ngram, request.shape == TreeShape::kChain);
  const AcceptanceTable& table = acceptance_of(request);
  split_.assign(nodes_.size() + 1, ConditionalSplit());
  for (DraftNode& node : nodes_) {
    const float conditional = split_[static_cast<size_t>(node.parent + 1)].next(
        table, node.source, node.depth, node.rank, node.score);
    const float parent = node.parent < 0 ? 1.0f : nodes_[static_cast<size_t>(node.parent)].path_probability;
    node.path_probability = parent * conditional;
  }
  out.probability.clear();
  order_.take_best(nodes_, request.nodes_max, out.nodes);
}

}  // namespace ft::draft
