#include "eval/synthetic_executor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "core/check.h"
#include "draft/drafter_registry.h"
#include "eval/known_target.h"

namespace ft::eval {

namespace {

using Clock = std::chrono::steady_clock;

// V4-Flash (dspark.md 1.8).
constexpr int32_t kLayers = 43, kHashLayers = 3, kExperts = 256, kPerToken = 6;
// A step on a fast device: 10 GB of weights for one row at 5 TB/s, 13.4 MB per further expert, little per row.
constexpr double kBaseSeconds = 1.6e-3, kRowSeconds = 4e-6, kExpertSeconds = 2.7e-6;
constexpr double kDraftSeconds = 0.6e-3;
constexpr draft::ModelDepth kDepth{SyntheticDrafts::kDepth, SyntheticDrafts::kDepth + 3};
// Part of its experts that a row has in common with the one before it.
constexpr float kOverlap = 0.5f;
// Most rows of a step that costs are taught for.
constexpr int32_t kRowsMax = 2048;

// (layer, expert) pairs of rows of which each chooses a part `own` of its experts by itself.
double distinct_experts(int32_t rows, double own) {
  return double{kLayers} * kExperts * (1.0 - std::pow(1.0 - double{kPerToken} / kExperts, own * rows));
}

double step_seconds(int32_t rows, double experts) {
  return kBaseSeconds + rows * kRowSeconds + experts * kExpertSeconds;
}

}  // namespace

Result<SequenceId> SyntheticSequences::open(const scheduler::OpenSequence&) {
  const auto found = std::ranges::find(lengths_, kClosed);
  if (found == lengths_.end())
    return fail(ErrorCode::kOverloaded, "all {} sequences are in use", lengths_.size());
  *found = 0;
  ++open_;
  return static_cast<SequenceId>(found - lengths_.begin());
}

void SyntheticSequences::close(SequenceId sequence) {
  FT_CHECK(length(sequence) != kClosed, sequence);
  lengths_[static_cast<size_t>(sequence)] = kClosed;
  --open_;
}

SyntheticExecutor::SyntheticExecutor(int32_t sequences_max, uint64_t seed)
    : drafts_(seed),
      sequences_(sequences_max),
      invented_(static_cast<size_t>(sequences_max)),
      outcomes_(static_cast<size_t>(sequences_max)) {
  std::mt19937_64 random(seed);
  info_.machine = "synthetic";
  info_.model = "V4-Flash";
  info_.drafter = info_.model_drafter = draft::drafter_name("dspark", false);
  info_.draft_depth_max = kDepth.most;
  info_.model_depth = kDepth;
  info_.vocab = SyntheticDrafts::kVocab;
  info_.experts_per_row = double{kLayers} * kPerToken;
  info_.experts.experts = kExperts;
  info_.experts.per_token = kPerToken;
  info_.experts.vocab = SyntheticDrafts::kVocab;
  info_.experts.score_layers = kLayers - kHashLayers;
  hash_tables_.resize(kHashLayers);
  for (std::vector<int32_t>& table : hash_tables_) {
    table.resize(size_t{SyntheticDrafts::kVocab} * kPerToken);
    for (int32_t& expert : table) expert = static_cast<int32_t>(random() % kExperts);
    info_.experts.hash_tables.push_back(table.data());
  }
}

void SyntheticExecutor::measure(scheduler::CostModel& costs) {
  // Rows that choose by themselves, and rows that share half of their experts.
  for (int32_t rows = 1; rows <= kRowsMax; rows *= 2)
    for (double own : {0.5, 1.0}) {
      const double experts = distinct_experts(rows, own);
      costs.observe_verify(rows, experts, step_seconds(rows, experts));
    }
  costs.observe_draft(sequences_.sequences_max() * kDepth.trained, 0, kDraftSeconds);
}

double SyntheticExecutor::propose(const scheduler::DraftBatch& batch) {
  ++steps_;
  build_us_ = 0.0;
  if (batch.requests.empty()) return 0.0;
  for (size_t i = 0; i < batch.requests.size(); ++i)
    drafts_.invent(builder_, batch.requests[i], steps_, invented_[i]);
  const auto begin = Clock::now();
  for (size_t i = 0; i < batch.requests.size(); ++i)
    SyntheticDrafts::build(builder_, batch.requests[i], invented_[i], batch.trees[i]);
  build_us_ = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  return kDraftSeconds;
}

const scheduler::StepOutcome& SyntheticExecutor::step(const scheduler::StepBatch& batch) {
  FT_CHECK(batch.requests.size() <= outcomes_.size(), batch.requests.size());
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const SequenceId sequence = batch.requests[i].sequence;
    const auto target = [&](int32_t token, int depth) {
      return drafts_.target(steps_, sequence, token, depth);
    };
    verify_known(batch.requests[i], kOverlap, target, outcomes_[i]);
    const auto accepted = std::max<int64_t>(0, outcomes_[i].verified.accepted());
    if (!outcomes_[i].ends())
      sequences_.append(batch.requests[i].sequence, batch.requests[i].known + accepted);
  }
  const auto rows = static_cast<int32_t>(batch.rows.size());
  const double experts = distinct_experts(rows, 1.0 - double{kOverlap});
  outcome_.requests = std::span(outcomes_).first(batch.requests.size());
  outcome_.distinct_experts = static_cast<int64_t>(experts);
  outcome_.verify_seconds = step_seconds(rows, experts);
  return outcome_;
}

}  // namespace ft::eval
