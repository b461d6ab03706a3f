// From the draft's logits at a node to that node's children in the tree: ranked under the target's noise, or
// drawn. What DSpark and MTP do alike.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "draft/child_ranking.h"
#include "draft/drafter.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class ChildProposer {
 public:
  // Adds the children of `node`, whose logits [V] these are, to `builder`, which grows the tree of `request`.
  // For a drawn request also the row of tree.probability. `first_score`: what the draft knows better than its
  // distribution about the first child; without it, the score comes from the first child's probability, or
  // when drawing from the largest one, so that the score of a drawn token does not depend on the token
  // (dspark.md 3.3).
  void propose(const ProposeRequest& request, std::span<const float> logits, std::optional<float> first_score,
               int32_t node, TreeBuilder& builder, DraftTree& tree);

 private:
  void draw_child(const ProposeRequest& request, std::span<const float> logits,
                  std::optional<float> first_score, int32_t node, TreeBuilder& builder, DraftTree& tree);

  ChildRanking ranking_;
};

}  // namespace ft::draft
