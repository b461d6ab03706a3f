#include "scheduler/kept_tree.h"

namespace ft::scheduler {

void plant(int32_t anchor, std::span<const draft::DraftNode> nodes, std::span<const float> probability,
           std::span<const int32_t> kept, std::vector<int32_t>& places, verify::TokenTree& tree) {
  tree.start(anchor);
  // The place of node i is places[i + 1], so that the anchor, parent -1, needs no case of its own.
  places.resize(nodes.size() + 1);
  places[0] = 0;
  for (const int32_t i : kept) {
    const draft::DraftNode& node = nodes[static_cast<size_t>(i)];
    places[static_cast<size_t>(i + 1)] = tree.add(node.token, places[static_cast<size_t>(node.parent + 1)],
                                                  probability[static_cast<size_t>(i)]);
  }
}

}  // namespace ft::scheduler
