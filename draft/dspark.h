// The DSpark drafter: one block pass for all requests, then a tree per request, level by level, with the
// Markov head (dspark.md sections 1, 2 and 6.2). Requests that want nodes deeper than the trained block get a
// longer one, in a pass of its own.
#pragma once

#include <vector>

#include "draft/child_proposer.h"
#include "draft/dspark_network.h"
#include "draft/feature_ring.h"
#include "draft/markov_head.h"
#include "draft/sequence_map.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class Dspark final : public Drafter {
 public:
  // `checkpoint` must have a DSpark draft.
  Dspark(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits);

  std::string_view name() const override { return "dspark"; }
  bool has_model() const override { return true; }
  int depth_max() const override { return network_.positions_max(); }
  ModelDepth model_depth() const override { return {network_.block_size(), network_.positions_max()}; }
  void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) override;
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId sequence, int64_t length) override;
  void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) override;
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;
  void close(SequenceId sequence) override;

 private:
  // A node whose children are wanted.
  struct Expansion {
    size_t block = 0;  // of the block pass
    int32_t node = TreeBuilder::kAnchor;
  };

  int block_for(const ProposeRequest& request) const;
  void propose_blocks(int positions, std::span<const ProposeRequest> requests, std::span<DraftTree> trees);
  void catch_up(std::span<const FeatureRing::Target> targets);
  void expand_level();
  void add_children(const Expansion& expansion, std::span<const float> bias, float confidence_logit);

  int32_t rows_max_;
  DsparkNetwork network_;
  MarkovHead markov_;
  SequenceMap sequences_;
  FeatureRing ring_;  // of auxiliary hidden states

  // Scratch of a pass: one entry per block.
  std::vector<FeatureRing::Target> targets_;
  std::vector<BlockAnchor> anchors_;
  std::vector<const ProposeRequest*> requests_;
  std::vector<DraftTree*> trees_;
  std::vector<TreeBuilder> builders_;
  ChildProposer proposer_;
  std::vector<Expansion> expansions_;  // of one level, all blocks
  std::vector<int32_t> tokens_;        // theirs
  std::vector<float> logits_;          // [V] of one node
};

}  // namespace ft::draft
