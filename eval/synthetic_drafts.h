// Drafts and targets without a model: every token is a function of the step, of the sequence and of the token
// before it, so that neither side needs to store what the other says.
#pragma once

#include <cstdint>
#include <vector>

#include "draft/tree_builder.h"

namespace ft::eval {

class SyntheticDrafts {
 public:
  // What a draft of V4 looks like: blocks of 5, of which the first is right four times in five.
  static constexpr int32_t kDepth = 5;
  static constexpr int32_t kVocab = 129280;

  explicit SyntheticDrafts(uint64_t seed) : seed_(seed) {}

  // What a drafter says of one request: the nodes that it expands, in order, and their children.
  struct Draft {
    struct Expansion {
      int32_t depth = 0;  // of the node
      int32_t place = 0;  // in the frontier
      int32_t count = 0;  // of its children
    };
    std::vector<Expansion> expansions;
    std::vector<draft::TreeBuilder::Child> children;
  };
  // asked.nodes_max children, spread over the depths, the best node of a level expanded first. Scores fall
  // with depth and rank.
  void invent(draft::TreeBuilder& builder, const draft::ProposeRequest& asked, int64_t step,
              Draft& draft) const;
  // Grows the tree of it.
  static void build(draft::TreeBuilder& builder, const draft::ProposeRequest& asked, const Draft& draft,
                    draft::DraftTree& tree);
  // The target's token after `token`, which is `depth` behind the anchor: the draft's first choice four times
  // in five, its second once in ten, else one that nobody drafts.
  int32_t target(int64_t step, SequenceId sequence, int32_t token, int32_t depth) const;

 private:
  // A hash of the step, the sequence, a token and a depth.
  uint64_t bits(int64_t step, SequenceId sequence, int32_t token, int32_t depth) const;
  static int32_t child(uint64_t bits, int32_t rank);
  uint64_t seed_;
};

}  // namespace ft::eval
