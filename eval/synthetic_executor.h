// An executor without a model: drafts and targets are invented (synthetic_drafts.h), and seconds are virtual,
// those of a V4-Flash on a fast device. For measuring the scheduler, and for experiments that need no
// weights.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/synthetic_drafts.h"
#include "scheduler/executor.h"

namespace ft::eval {

// Sequences are lengths; there is room for all of them, and nothing is kept of one.
class SyntheticSequences final : public scheduler::SequenceStore {
 public:
  explicit SyntheticSequences(int32_t sequences_max)
      : lengths_(static_cast<size_t>(sequences_max), kClosed) {}

  Result<SequenceId> open(const scheduler::OpenSequence& wish) override;
  Result<void> grow(SequenceId, int64_t) override { return {}; }
  void close(SequenceId sequence) override;
  scheduler::SnapshotInfo snapshot(SequenceId, int64_t) override { return {}; }
  scheduler::SnapshotInfo save(SequenceId) override { return {}; }
  int64_t save_bytes(SequenceId) const override { return 0; }
  void release(scheduler::SnapshotId) override {}
  int64_t length(SequenceId sequence) const override { return lengths_[static_cast<size_t>(sequence)]; }
  int32_t open_sequences() const override { return open_; }
  int32_t sequences_max() const override { return static_cast<int32_t>(lengths_.size()); }
  int64_t unreserved_tokens() const override { return INT64_MAX / 2; }
  void check_integrity() const override {}

  void append(SequenceId sequence, int64_t rows) { lengths_[static_cast<size_t>(sequence)] += rows; }

 private:
  static constexpr int64_t kClosed = -1;
  std::vector<int64_t> lengths_;
  int32_t open_ = 0;
};

class SyntheticExecutor final : public scheduler::Executor {
 public:
  SyntheticExecutor(int32_t sequences_max, uint64_t seed);

  const scheduler::ExecutorInfo& info() const override { return info_; }
  scheduler::SequenceStore& sequences() override { return sequences_; }
  // Invents the drafts, then grows their trees.
  double propose(const scheduler::DraftBatch& batch) override;
  const scheduler::StepOutcome& step(const scheduler::StepBatch& batch) override;
  // Teaches the costs of this executor exactly, for steps of up to `rows_max` rows.
  void measure(scheduler::CostModel& costs) override;
  bool intact() const override { return true; }

  // Real microseconds that growing the trees of the last propose() took: what a drafter does beside its
  // network.
  double build_us() const { return build_us_; }

 private:
  SyntheticDrafts drafts_;
  SyntheticSequences sequences_;
  std::vector<std::vector<int32_t>> hash_tables_;
  scheduler::ExecutorInfo info_;
  draft::TreeBuilder builder_;
  std::vector<SyntheticDrafts::Draft> invented_;
  std::vector<scheduler::RequestOutcome> outcomes_;
  scheduler::StepOutcome outcome_;
  int64_t steps_ = 0;
  double build_us_ = 0.0;
};

}  // namespace ft::eval
