// Grows one draft tree level by level and keeps the nodes with the largest path probability.
//
// Drafters feed it, so that every kind of draft is pruned and ordered alike: they ask which nodes are worth
// expanding, name the children of each with their share of the parent's probability, and go a level deeper.
// (dspark.md 6.2: best first over estimated path probabilities, a beam per level.)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"

namespace ft::draft {

class TreeBuilder {
 public:
  // The anchor, parent of the first level.
  static constexpr int32_t kAnchor = -1;
  // add() returns this for a child that is not kept.
  static constexpr int32_t kRejected = -2;
  // Limits of the memory that is set aside at construction, and of start().
  static constexpr int32_t kDepthMax = 16;
  static constexpr int32_t kFrontierMax = 8;  // dspark.md 6.2: a beam of 8 adds nothing over 4
  static constexpr int32_t kChildrenMax = 8;  // of one node

  TreeBuilder();

  // Begins an empty tree of at most `nodes_max` nodes and depth `depth_max`, expanding at most `frontier_max`
  // nodes of a level. Values beyond the limits above are lowered to them, except nodes_max.
  void start(TreeShape shape, int32_t nodes_max, int32_t depth_max, int32_t frontier_max = kFrontierMax);

  // Nodes of the current level whose children may still be kept, most probable first: first {kAnchor}, empty
  // at the end.
  std::span<const int32_t> frontier() const { return frontier_; }
  // Depth of the frontier: 0 for the anchor.
  int32_t depth() const { return depth_; }

  // Adds a child of a frontier node; `share` is the estimated probability that the target takes it where it
  // has followed the path to the parent, clamped to [0, 1]. Children of one node have distinct tokens and
  // come most probable first; only the first counts for kChain. Returns the node, valid until start(), or
  // kRejected if at least nodes_max earlier ones are as probable or if the share is not positive.
  int32_t add(int32_t parent, int32_t token, float share);

  // Goes one level down.
  void descend();

  int32_t token(int32_t node) const { return nodes_[static_cast<size_t>(node)].token; }
  int32_t parent(int32_t node) const { return nodes_[static_cast<size_t>(node)].parent; }
  float path_probability(int32_t node) const {
    return node == kAnchor ? 1.0f : nodes_[static_cast<size_t>(node)].path_probability;
  }
  // A number that the drafter keeps with a node; kRejected until set.
  void set_tag(int32_t node, int32_t tag) { nodes_[static_cast<size_t>(node)].tag = tag; }
  int32_t tag(int32_t node) const { return nodes_[static_cast<size_t>(node)].tag; }

  // Writes the nodes kept, by falling path probability; equal ones shallower first, then earlier added first.
  // Parents come before their children, and so every leading part of the list is a tree too.
  void finish(DraftTree& tree);

 private:
  struct Node {
    int32_t token = 0;
    int32_t parent = kAnchor;
    int32_t depth = 0;
    float path_probability = 0.0f;
    int32_t tag = kRejected;
    int32_t index = 0;  // in the finished tree
  };

  TreeShape shape_ = TreeShape::kBestFirst;
  int32_t nodes_max_ = 0;
  int32_t depth_max_ = 0;
  int32_t frontier_max_ = 0;
  int32_t depth_ = 0;
  int32_t last_parent_ = kRejected;  // of the child added last, for kChain
  std::vector<Node> nodes_;    // everything that was kept once; a parent's index is below its children's
  std::vector<int32_t> kept_;  // the nodes_max best of them, in the order of finish()
  std::vector<int32_t> frontier_;
};

}  // namespace ft::draft
