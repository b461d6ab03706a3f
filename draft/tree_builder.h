// Grows one draft tree level by level and keeps the nodes with the largest path probability.
//
// All drafters use it, so that every kind of draft is pruned and ordered by one rule. A drafter asks which
// nodes are worth expanding, adds the children of each with their scores, and goes one level deeper.
// (dspark.md 6.2: best first over estimated path probabilities, a beam per level.)
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "draft/conditional_split.h"
#include "draft/drafter.h"

namespace ft::draft {

class TreeBuilder {
 public:
  // The anchor, parent of the first level.
  static constexpr int32_t kAnchor = -1;
  // Limits of the memory that is set aside at construction, and of start().
  static constexpr int32_t kDepthMax = 16;
  static constexpr int32_t kFrontierMax = 8;  // dspark.md 6.2: a beam of 8 adds nothing over 4
  static constexpr int32_t kChildrenMax = 8;  // of one node

  TreeBuilder();

  // Begins an empty tree for `request`: its shape, at most its nodes_max nodes, split by its acceptance
  // table, which must live until finish(). At most `frontier_max` nodes of a level, one at least, are
  // expanded, down to depth `depth_max`; values beyond the limits above are lowered to them. A drawn request
  // gets a complete chain: nothing is pruned from it.
  void start(const ProposeRequest& request, DraftSource source, int32_t depth_max,
             int32_t frontier_max = kFrontierMax);

  // Nodes of the current level whose children may still be kept, most probable first: first {kAnchor}, empty
  // at the end.
  std::span<const int32_t> frontier() const { return std::span(frontier_).first(frontier_size_); }
  // Depth of the frontier: 0 for the anchor.
  int32_t depth() const { return depth_; }

  struct Child {
    int32_t token = 0;
    float score = 0.0f;   // as in acceptance_table.h
    bool forced = false;  // the request's constraint allows no other
  };
  // Children of one node that were kept: the first `count` of them, as nodes `first`, `first` + 1 and so on.
  struct Added {
    int32_t first = 0;
    int32_t count = 0;
  };
  // Adds the children of a frontier node, at most kChildrenMax, of distinct tokens and in the order of their
  // rank; only the first counts for a chain. The first one that is not kept ends the list, as those behind it
  // are not more probable: at least nodes_max earlier nodes are as probable, or its probability is not
  // positive. What is kept may still have to go for children of other nodes.
  Added expand(int32_t parent, std::span<const Child> children);

  // Goes one level down.
  void descend();

  int32_t token(int32_t node) const { return nodes_[static_cast<size_t>(node)].token; }
  int32_t parent(int32_t node) const { return nodes_[static_cast<size_t>(node)].parent; }
  // A number that the drafter keeps with a node; not to be read before it is set.
  void set_tag(int32_t node, int32_t tag) { tags_[static_cast<size_t>(node)] = tag; }
  int32_t tag(int32_t node) const { return tags_[static_cast<size_t>(node)]; }

  // Writes the nodes kept, parents before their children.
  void finish(DraftTree& tree);

 private:
  static constexpr int32_t kNodesMax = kDepthMax * kFrontierMax * kChildrenMax;

  // A node with what the order goes by as one number: larger is better, and of two equally probable ones the
  // node added first. (Not negative, probabilities are in the order of their bits.)
  class Ranked {
   public:
    Ranked() = default;
    Ranked(float probability, int32_t node)
        : key_(uint64_t{std::bit_cast<uint32_t>(probability)} << 32 | ~static_cast<uint32_t>(node)) {}
    float probability() const { return std::bit_cast<float>(static_cast<uint32_t>(key_ >> 32)); }
    int32_t node() const { return static_cast<int32_t>(~static_cast<uint32_t>(key_)); }
    auto operator<=>(const Ranked&) const = default;

   private:
    uint64_t key_ = 0;
  };

  // Whether every further node displaces another.
  bool full() const { return count_ >= nodes_max_; }
  float displace(Ranked added);
  void sort_kept();

  size_t children_max_ = kChildrenMax;  // of a node, in this tree
  int32_t nodes_max_ = 0;
  int32_t depth_max_ = 0;
  size_t frontier_max_ = 1;
  DraftSource source_ = DraftSource::kModel;
  const AcceptanceTable* table_ = nullptr;
  int32_t depth_ = 0;
  int32_t level_begin_ = 0;       // of the level that is being added, in nodes_
  int32_t count_ = 0;             // of nodes
  std::vector<DraftNode> nodes_;  // everything that was kept once, parents first; count_ of them
  std::vector<int32_t> tags_;     // of each
  std::vector<int32_t> places_;   // of each in the finished tree, once nodes had to go
  // The nodes_max best, falling, from the first one on that had to go. Empty before: all are kept.
  std::vector<Ranked> kept_;
  float least_ = 0.0f;  // probability of the least one kept
  std::array<int32_t, kFrontierMax> frontier_{};
  size_t frontier_size_ = 0;
};

// The acceptance table of a request: its own, or the default for its temperature.
const AcceptanceTable& acceptance_of(const ProposeRequest& request);

}  // namespace ft::draft
