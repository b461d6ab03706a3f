// The MTP drafter: the multi-token prediction block applied to the target's streams, then to its own
// (model.md 3.11, 5.4).
//
// Row t of the block pairs the streams at position t with the token at t+1 and predicts the token at t+2, so
// the block's cache of a sequence with n committed tokens holds rows 0..n-1, the last paired with the anchor,
// whose output streams are kept: they predict the first draft. A draft at depth k is a staged row at position
// n+k-1.
#pragma once

#include <vector>

#include "core/mtp.h"
#include "draft/child_ranking.h"
#include "draft/row_copy.h"
#include "draft/sequence_map.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class Mtp final : public Drafter {
 public:
  // The block was trained to look one step ahead; acceptance falls with every further one (model.md 3.11).
  static constexpr int kDepthMax = 4;

  // `checkpoint` must have an MTP block; the first is used. Calls backend.reserve.
  Mtp(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits);

  std::string_view name() const override { return "mtp"; }
  int depth_max() const override { return kDepthMax; }
  void open(SequenceId sequence, int64_t length_max) override;
  void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) override;
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;
  void close(SequenceId sequence) override;

 private:
  // A node whose children are wanted.
  struct Expansion {
    size_t request = 0;  // index in requests_
    int32_t node = TreeBuilder::kAnchor;
  };

  void collect_frontiers();
  void add_children(std::span<const float> logits);
  Matrix apply_block(KvTransaction& transaction);

  const ModelConfig& config_;
  int32_t frontier_max_;
  MtpBlock block_;
  SequenceMap sequences_;
  RowCopy copy_;
  Buffer memory_;
  Matrix inputs_;   // [rows, n*d] streams fed to the block
  Matrix streams_;  // [sequences + rows, n*d]: per sequence the output streams of its last row, then per
                    // staged row

  std::vector<Row> rows_;
  std::vector<int32_t> source_rows_;
  std::vector<int32_t> target_rows_;
  std::vector<int32_t> in_order_;
  // Scratch of propose().
  std::vector<const ProposeRequest*> requests_;
  std::vector<SequenceId> own_;  // sequence of each request
  std::vector<TreeBuilder> builders_;
  ChildRanking ranking_;
  std::vector<Expansion> expansions_;  // of one level, all requests
};

}  // namespace ft::draft
