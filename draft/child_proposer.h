// Turns the draft's logits at a node into the node's children: ranked under the target's noise, or drawn.
// Shared by DSpark and MTP.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "draft/child_ranking.h"
#include "draft/drafter.h"
#include "draft/node_constraints.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class ChildProposer {
 public:
  // Adds the children of `node` to `builder`, which grows the tree of `request`; `logits` [V] are the node's.
  // For a drawn request it also fills the node's row of tree.probability. `first_score` is the score of the
  // first child where the draft has a better estimate than its distribution (a confidence head). Without it,
  // the score comes from the probability of the first child; when drawing, from the largest probability,
  // because the score of a drawn token must not depend on the token (dspark.md 3.3).
  // `states` are those of the request's constraint: what it forbids is no child, and a token that it forces
  // is the only one.
  void propose(const ProposeRequest& request, std::span<const float> logits, std::optional<float> first_score,
               int32_t node, TreeBuilder& builder, NodeConstraints& states, DraftTree& tree);

 private:
  void draw_child(const ProposeRequest& request, std::span<const float> logits,
                  std::optional<float> first_score, int32_t node, TreeBuilder& builder, DraftTree& tree);

  // Of the mask: whether it allows a token, and logits of which all others are -inf.
  bool allows(int32_t token) const { return (mask_[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0; }
  std::span<const float> only_allowed(std::span<const float> logits);

  ChildRanking ranking_;
  std::vector<uint32_t> mask_;  // of the node, under a constraint
  std::vector<float> allowed_;
};

}  // namespace ft::draft
