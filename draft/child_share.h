// How likely the target takes each of the ranked children of a node: the numbers a tree is pruned by.
#pragma once

#include <cstddef>
#include <span>

#include "draft/child_ranking.h"

namespace ft::draft {

// Children that a tree considers per node (dspark.md 6.1: 2 get most of the gain).
inline constexpr size_t kBranchMax = 3;

// For a draft without a confidence head: the share of the first child from its probability under the draft.
float first_child_share(float probability, bool greedy);

// shares[0] = first; each further child gets a part of what the ones before have left: shares[j] =
// (1 - sum of shares before j) * rho_j (dspark.md 6.2), and never more than the child before. `shares` has at
// least children.size() elements.
void share_remainder(float first, bool greedy, std::span<const RankedChild> children,
                     std::span<float> shares);

}  // namespace ft::draft
