// Watches an engine's steps: what was drafted, what the target took, how well it was predicted, and what it
// cost.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "eval/calibration.h"
#include "scheduler/executor.h"

namespace ft::eval {

// The place of the target's token among the children that were drafted, at one depth: of the times that the
// target's path reached a node with drafted children (s1, s2, ... of dspark.md 6.1).
struct DepthRanks {
  int64_t reached = 0;
  std::array<int64_t, draft::kBranchMax> hits{};  // hits[r]: it was the child of rank r
};

// Steps of a kind, added up.
struct StepSums {
  int64_t steps = 0;
  int64_t rows = 0;             // that were verified
  int64_t prompt_rows = 0;      // that were only read
  int64_t experts = 0;          // distinct (layer, expert) pairs, summed over steps
  double verify_seconds = 0.0;  // forward and sampling
  double commit_seconds = 0.0;

  void add(const StepSums& other);
};

// Calls that drafted for so many requests.
struct DraftSums {
  int64_t calls = 0;
  double seconds = 0.0;
};

struct Recording {
  std::vector<DepthRanks> ranks;         // [d]: depth d + 1
  std::vector<Calibration> calibration;  // [d]: path probabilities of verified nodes at depth d + 1
  std::map<int32_t, StepSums> decode;    // steps without prompt rows, by verified rows
  StepSums mixed;                        // steps with prompt rows
  std::map<int32_t, DraftSums> drafts;   // by requests drafted for
};

// Passes every call on to another executor and keeps what went through. Counts from the last restart() on.
class Recorder final : public scheduler::Executor {
 public:
  explicit Recorder(std::unique_ptr<scheduler::Executor> inner) : inner_(std::move(inner)) {}

  const Recording& recording() const { return recording_; }
  void restart() { recording_ = {}; }

  const scheduler::ExecutorInfo& info() const override { return inner_->info(); }
  scheduler::SequenceStore& sequences() override { return inner_->sequences(); }
  double propose(const scheduler::DraftBatch& batch) override;
  const scheduler::StepOutcome& step(const scheduler::StepBatch& batch) override;
  void measure(scheduler::CostModel& costs) override { inner_->measure(costs); }
  bool intact() const override { return inner_->intact(); }

 private:
  void count_ranks(const draft::DraftTree& drafts, const std::vector<int32_t>& emitted);
  void count_calibration(const verify::TokenTree& tree, const verify::Verified& verified);
  void count_seconds(const scheduler::StepBatch& batch, const scheduler::StepOutcome& outcome);

  std::unique_ptr<scheduler::Executor> inner_;
  Recording recording_;
  std::map<SequenceId, draft::DraftTree> drafts_;  // of the step in progress
};

}  // namespace ft::eval
