#include "scheduler/speculation/verify_tree.h"

namespace ft::scheduler {

void build_verify_tree(int32_t anchor, std::span<const draft::DraftNode> nodes,
                       std::span<const float> probability, std::span<const int32_t> kept,
                       std::vector<int32_t>& places, verify::TokenTree& tree) {
  // The place of node i is places[i + 1], so that the anchor, parent -1, needs no case of its own.
  places.resize(nodes.size() + 1);
  places[0] = 0;
  tree.assign(anchor, kept.size(), [&](size_t place) -> verify::TokenTree::Child {
    const auto i = static_cast<size_t>(kept[place]);
    const draft::DraftNode& node = nodes[i];
    places[i + 1] = static_cast<int32_t>(place + 1);
    return {node.token, places[static_cast<size_t>(node.parent + 1)], probability[i]};
  });
}

}  // namespace ft::scheduler
