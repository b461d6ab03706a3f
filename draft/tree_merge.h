// Two trees of the same request, one from the model's draft and one from n-grams, made into one.
#pragma once

#include <cstdint>
#include <vector>

#include "draft/conditional_split.h"
#include "draft/drafter.h"
#include "draft/tree_order.h"

namespace ft::draft {

class TreeMerge {
 public:
  // Sets memory aside for trees of up to nodes_max nodes each; larger ones take more once.
  explicit TreeMerge(size_t nodes_max);

  // out = `model` and `ngram`, cut to request.nodes_max nodes. The same token behind the same parent is one
  // node of DraftSource::kBoth with the model's score and rank. The other n-gram nodes hang behind the
  // model's children of their parent; in a chain only where there are none. All probabilities are split anew
  // by the acceptance table, the nodes ordered as DraftTree says, equal ones shallower first, then the model's
  // first. `out` may be neither of the two.
  void merge(const ProposeRequest& request, const DraftTree& model, const DraftTree& ngram, DraftTree& out);

 private:
  static constexpr int32_t kLeftOut = -2;

  void join(const DraftTree& model, const DraftTree& ngram, bool chain);
  int32_t child(int32_t parent, int32_t token) const;
  bool has_child(int32_t parent) const;

  std::vector<DraftNode> nodes_;         // parents first, siblings in the order of their probabilities
  std::vector<int32_t> place_;           // of each n-gram node in nodes_, or kLeftOut
  std::vector<ConditionalSplit> split_;  // of the children of node i - 1, the anchor being -1
  TreeOrder order_;
};

}  // namespace ft::draft
