#include "eval/accept/recorder.h"

#include <gtest/gtest.h>

namespace ft::eval {
namespace {

// Proposes and takes what a test says.
class ScriptedExecutor final : public scheduler::Executor {
 public:
  draft::DraftTree tree;
  scheduler::RequestOutcome outcome;
  scheduler::StepOutcome step_outcome;

  const scheduler::ExecutorInfo& info() const override { return info_; }
  scheduler::SequenceStore& sequences() override { std::abort(); }
  double propose(const scheduler::DraftBatch& batch) override {
    batch.trees[0] = tree;
    return 0.25;
  }
  const scheduler::StepOutcome& step(const scheduler::StepBatch&) override {
    step_outcome.requests = std::span(&outcome, 1);
    return step_outcome;
  }
  void measure(scheduler::CostModel&) override {}
  bool intact() const override { return true; }

 private:
  scheduler::ExecutorInfo info_;
};

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    auto made = std::make_unique<ScriptedExecutor>();
    executor_ = made.get();
    recorder_ = std::make_unique<Recorder>(std::move(made));
    // Two children of the anchor, 10 and 11, and 20 behind the second.
    executor_->tree.nodes = {{.token = 10, .parent = -1, .rank = 0, .depth = 1},
                             {.token = 11, .parent = -1, .rank = 1, .depth = 1},
                             {.token = 20, .parent = 1, .rank = 0, .depth = 2}};
    executor_->step_outcome.verify_seconds = 0.5;
    executor_->step_outcome.distinct_experts = 7;
  }

  // One step in which the target says `emitted`, of a request that verifies the whole draft.
  void step(const std::vector<int32_t>& emitted, verify::FinishReason finish = verify::FinishReason::kNone) {
    const draft::ProposeRequest asked;
    draft::DraftTree proposed;
    recorder_->propose({std::span(&asked, 1), std::span(&proposed, 1)});
    verify::TokenTree tree;
    tree.start(1);
    tree.add(10, 0, 0.5f);
    tree.add(11, 0, 0.25f);
    tree.add(20, 2, 0.125f);
    executor_->outcome.verified.emitted = emitted;
    executor_->outcome.verified.finish = finish;
    const std::vector<Row> rows(4);
    const std::vector<int32_t> logits = {0, 1, 2, 3};
    scheduler::StepRequest request;
    request.known = 1;
    request.tree = &tree;
    recorder_->step({rows, logits, std::span(&request, 1)});
  }

  ScriptedExecutor* executor_;
  std::unique_ptr<Recorder> recorder_;
};

TEST_F(RecorderTest, CountsTheRankOfTheTargetsToken) {
  step({10, 99});  // the first child, behind which nothing was drafted
  step({11, 20, 99});
  step({50});
  const std::vector<DepthRanks>& ranks = recorder_->recording().ranks;
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_EQ(ranks[0].reached, 3);
  EXPECT_EQ(ranks[0].hits, (std::array<int64_t, 3>{1, 1, 0}));
  EXPECT_EQ(ranks[1].reached, 1);
  EXPECT_EQ(ranks[1].hits[0], 1);
}

TEST_F(RecorderTest, CountsPredictionsWhoseOutcomeIsKnown) {
  step({11, 20, 99});
  const std::vector<Calibration>& calibration = recorder_->recording().calibration;
  ASSERT_EQ(calibration.size(), 2u);
  EXPECT_EQ(calibration[0].count(), 2);
  // (0.5 - 0)^2 and (0.25 - 1)^2.
  EXPECT_NEAR(calibration[0].figures().brier, 0.5 * (0.25 + 0.5625), 1e-6);
  EXPECT_NEAR(calibration[1].figures().brier, 0.875 * 0.875, 1e-6);
  // The request ends with 11: whether 20 would have come is not known.
  step({11}, verify::FinishReason::kLength);
  EXPECT_EQ(recorder_->recording().calibration[0].count(), 4);
  EXPECT_EQ(recorder_->recording().calibration[1].count(), 1);
}

TEST_F(RecorderTest, AddsUpTimesByRowsAndBeginsAnew) {
  step({50});
  step({50});
  EXPECT_EQ(recorder_->recording().decode.at(4).steps, 2);
  EXPECT_EQ(recorder_->recording().decode.at(4).experts, 14);
  EXPECT_EQ(recorder_->recording().decode.at(4).verify_seconds, 1.0);
  EXPECT_EQ(recorder_->recording().drafts.at(1).seconds, 0.5);
  recorder_->restart();
  EXPECT_TRUE(recorder_->recording().decode.empty());
  EXPECT_TRUE(recorder_->recording().ranks.empty());
}

}  // namespace
}  // namespace ft::eval
