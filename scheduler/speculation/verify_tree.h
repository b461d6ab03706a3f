// From the nodes of a draft that were selected to the tree that is verified.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "verify/token_tree.h"

namespace ft::scheduler {

// Fills `tree`: the anchor, then the node of nodes[kept[k]] at k + 1. `kept` is rising and closed under
// parents; `probability` is of each of `nodes`. `places` is scratch: no allocation once it has been as long
// as the draft and one more.
void build_verify_tree(int32_t anchor, std::span<const draft::DraftNode> nodes,
                       std::span<const float> probability, std::span<const int32_t> kept,
                       std::vector<int32_t>& places, verify::TokenTree& tree);

}  // namespace ft::scheduler
