// An executor without a model, in virtual time: acceptance is drawn, seconds follow from stated costs. What
// decides is the real scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "draft/tree_builder.h"
#include "eval/simulate/acceptance_source.h"
#include "eval/simulate/step_costs.h"
#include "scheduler/executor.h"

namespace ft::eval {

// Lengths of sequences, and a budget of tokens that they share.
class VirtualSequences final : public scheduler::SequenceStore {
 public:
  VirtualSequences(int32_t sequences_max, int64_t tokens_max)
      : sequences_(static_cast<size_t>(sequences_max)), tokens_max_(tokens_max) {}

  Result<SequenceId> open(const scheduler::OpenSequence& wish) override;
  Result<void> grow(SequenceId sequence, int64_t length) override;
  void close(SequenceId sequence) override;
  // Nothing is kept: a request that gave its memory up is read again.
  scheduler::SnapshotInfo snapshot(SequenceId, int64_t) override { return {}; }
  scheduler::SnapshotInfo save(SequenceId) override { return {}; }
  int64_t save_bytes(SequenceId) const override { return 0; }
  void release(scheduler::SnapshotId) override {}
  int64_t length(SequenceId sequence) const override { return at(sequence).length; }
  int32_t open_sequences() const override { return open_; }
  int32_t sequences_max() const override { return static_cast<int32_t>(sequences_.size()); }
  int64_t unreserved_tokens() const override { return tokens_max_ - reserved_; }
  void check_integrity() const override {}

  void append(SequenceId sequence, int64_t rows) { sequences_[static_cast<size_t>(sequence)].length += rows; }

 private:
  struct Sequence {
    bool is_open = false;
    int64_t length = 0;
    int64_t reserved = 0;  // tokens it has room for
  };
  const Sequence& at(SequenceId sequence) const { return sequences_[static_cast<size_t>(sequence)]; }

  std::vector<Sequence> sequences_;
  int64_t tokens_max_;
  int64_t reserved_ = 0;
  int32_t open_ = 0;
};

struct VirtualModel {
  std::string name;
  ExpertLaw experts;
  // How deep the model's draft goes; 0: there is none. It may go deeper than trained where `most` is larger.
  draft::ModelDepth depth;
};

class VirtualExecutor final : public scheduler::Executor {
 public:
  // All but `model` must outlive it.
  VirtualExecutor(const VirtualModel& model, const StepCosts& costs, const AcceptanceSource& acceptance,
                  int32_t sequences_max, int64_t tokens_max, uint64_t seed);

  const scheduler::ExecutorInfo& info() const override { return info_; }
  scheduler::SequenceStore& sequences() override { return sequences_; }
  double propose(const scheduler::DraftBatch& batch) override;
  const scheduler::StepOutcome& step(const scheduler::StepBatch& batch) override;
  // Teaches the costs exactly, up to the last number of rows that they are kept for.
  void measure(scheduler::CostModel& costs) override;
  bool intact() const override { return true; }

  // The sampling seed of request `number` of a domain: how the executor knows what a request is about.
  static uint64_t request_seed(uint64_t number, size_t domain) { return number << 8 | domain; }

 private:
  // What happens behind a token: a function of these alone, so that draft and target need not tell each
  // other.
  struct Node {
    uint64_t key = 0;
    double log_odds = 0.0;  // of its first child
  };
  Node node_behind(uint64_t seed, int32_t token, int depth) const;
  static int32_t child_token(const Node& node, int rank);
  // The child that the target takes behind a node.
  int32_t target_token(uint64_t seed, int32_t token, int depth) const;

  VirtualModel model_;
  const StepCosts& costs_;
  const AcceptanceSource& acceptance_;
  VirtualSequences sequences_;
  uint64_t seed_;
  scheduler::ExecutorInfo info_;
  draft::TreeBuilder builder_;
  std::vector<scheduler::RequestOutcome> outcomes_;
  scheduler::StepOutcome outcome_;
  uint64_t steps_ = 0;
};

}  // namespace ft::eval
