// The DSpark drafter: one block pass for all requests, then a tree per request, level by level, with the
// Markov head (dspark.md sections 1, 2 and 6.2). Requests that want nodes deeper than the trained block get a
// longer one, in a pass of its own.
#pragma once

#include <vector>

#include "draft/dspark_network.h"
#include "draft/markov_head.h"
#include "draft/model_drafter.h"

namespace ft::draft {

class Dspark final : public ModelDrafter {
 public:
  // `checkpoint` must have a DSpark draft.
  Dspark(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits);

  int depth_max() const override { return network_.positions_max(); }
  ModelDepth model_depth() const override { return {network_.block_size(), network_.positions_max()}; }
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;

 private:
  // A node whose children are wanted.
  struct Expansion {
    size_t block = 0;  // of the block pass
    int32_t node = TreeBuilder::kAnchor;
  };

  KvCache& cache() override { return network_.cache(); }
  Matrix features(const ForwardOutput& output) const override { return output.auxiliary; }
  int block_for(const ProposeRequest& request) const;
  void propose_blocks(int positions, std::span<const ProposeRequest> requests, std::span<DraftTree> trees);
  void catch_up();
  void expand_level();
  void add_children(const Expansion& expansion, std::span<const float> bias, float confidence_logit);

  int32_t rows_max_;
  DsparkNetwork network_;
  MarkovHead markov_;

  // Scratch of a pass.
  std::vector<BlockAnchor> anchors_;   // one per request
  std::vector<Expansion> expansions_;  // of one level, all blocks
  std::vector<int32_t> tokens_;        // theirs
  std::vector<float> logits_;          // [V] of one node
};

}  // namespace ft::draft
