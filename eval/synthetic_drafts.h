// Drafts and targets without a model, for the scheduler's benchmark: every token is a function of the step,
// the request and the tokens before it, so that neither side needs to store what the other says.
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

  int32_t anchor(int64_t step, int32_t request) const;
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
  // asked.nodes_max children for `request`, spread over the depths, the best node of a level expanded first.
  // Scores fall with depth and rank.
  void invent(draft::TreeBuilder& builder, const draft::ProposeRequest& asked, int64_t step, int32_t request,
              Draft& draft) const;
  // Grows the tree of it.
  static void build(draft::TreeBuilder& builder, const draft::ProposeRequest& asked, const Draft& draft,
                    draft::DraftTree& tree);
  // The target's tokens of a step: the likeliest child while it agrees with the draft, then something else.
  // kDepth + 1 tokens are written to `emitted`; how many of them the tree holds decides how many stand.
  void target(int64_t step, int32_t request, std::vector<int32_t>& emitted) const;

 private:
  // A hash of the step, the request, a token and a depth.
  uint64_t bits(int64_t step, int32_t request, int32_t token, int32_t depth) const;
  static int32_t child(uint64_t bits, int32_t rank);
  uint64_t seed_;
};

}  // namespace ft::eval
