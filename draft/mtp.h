// The MTP drafter: the multi-token prediction block applied to the target's streams, then to its own
// (model.md 3.11, 5.4).
//
// Row t of the block pairs the streams at position t with the token at t+1 and predicts the token at t+2. So
// the row of the last committed position n-1 needs the anchor. Each propose() stages it, and its output
// streams predict the first draft. Of the rows before it the block's cache has the window keys, which is all
// that later rows read. A draft at depth k is a staged row at position n+k-1.
#pragma once

#include <vector>

#include "core/mtp.h"
#include "draft/model_drafter.h"
#include "draft/row_copy.h"

namespace ft::draft {

class Mtp final : public ModelDrafter {
 public:
  // The block was trained to look one step ahead; acceptance falls with every further one (model.md 3.11).
  static constexpr int kDepthMax = 4;

  // `checkpoint` must have an MTP block; the first is used. Calls backend.reserve.
  Mtp(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits);

  int depth_max() const override { return kDepthMax; }
  ModelDepth model_depth() const override { return {kDepthMax, kDepthMax}; }
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;

 private:
  // A node whose children are wanted.
  struct Expansion {
    size_t request = 0;  // index in requests_
    int32_t node = TreeBuilder::kAnchor;
  };

  KvCache& cache() override { return block_.cache(); }
  Matrix features(const ForwardOutput& output) const override { return output.streams; }
  void catch_up();
  void collect_frontiers();
  void stage_frontiers(KvTransaction& transaction, int32_t staged);
  void add_children(std::span<const float> logits);

  const ModelConfig& config_;
  int32_t frontier_max_;
  MtpBlock block_;
  RowCopy copy_;
  Buffer memory_;
  Matrix inputs_;   // [rows, n*d] streams fed to the block
  Matrix streams_;  // [rows, n*d] output streams of the rows staged by propose()

  std::vector<int32_t> in_order_;
  // Scratch of propose().
  std::vector<Expansion> expansions_;  // of one level, all requests
  std::vector<Row> rows_;
  std::vector<int32_t> source_rows_;
  std::vector<int32_t> target_rows_;
};

}  // namespace ft::draft
