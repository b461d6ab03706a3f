#include "eval/accept/recorder.h"

#include <algorithm>

namespace ft::eval {

namespace {

template <class Item>
Item& at_depth(std::vector<Item>& items, int32_t depth) {
  if (std::ssize(items) < depth) items.resize(static_cast<size_t>(depth));
  return items[static_cast<size_t>(depth - 1)];
}

}  // namespace

void StepSums::add(const StepSums& other) {
  steps += other.steps;
  rows += other.rows;
  prompt_rows += other.prompt_rows;
  experts += other.experts;
  verify_seconds += other.verify_seconds;
  commit_seconds += other.commit_seconds;
}

double Recorder::propose(const scheduler::DraftBatch& batch) {
  const double seconds = inner_->propose(batch);
  drafts_.clear();
  for (size_t i = 0; i < batch.requests.size(); ++i)
    drafts_[batch.requests[i].sequence].nodes = batch.trees[i].nodes;
  if (!batch.requests.empty()) {
    DraftSums& sums = recording_.drafts[static_cast<int32_t>(batch.requests.size())];
    ++sums.calls;
    sums.seconds += seconds;
  }
  return seconds;
}

const scheduler::StepOutcome& Recorder::step(const scheduler::StepBatch& batch) {
  const scheduler::StepOutcome& outcome = inner_->step(batch);
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const scheduler::StepRequest& request = batch.requests[i];
    const verify::Verified& verified = outcome.requests[i].verified;
    if (!request.samples() || verified.degenerate) continue;
    if (const auto drafted = drafts_.find(request.sequence); drafted != drafts_.end())
      count_ranks(drafted->second, verified.emitted);
    count_calibration(*request.tree, verified);
  }
  count_seconds(batch, outcome);
  return outcome;
}

void Recorder::count_ranks(const draft::DraftTree& drafts, const std::vector<int32_t>& emitted) {
  int32_t parent = -1;
  for (size_t k = 0; k < emitted.size(); ++k) {
    bool has_children = false;
    int32_t taken = -1;
    for (int32_t node = 0; node < std::ssize(drafts.nodes); ++node) {
      const draft::DraftNode& child = drafts.nodes[static_cast<size_t>(node)];
      if (child.parent != parent) continue;
      has_children = true;
      if (child.token == emitted[k]) taken = node;
    }
    if (!has_children) return;
    DepthRanks& ranks = at_depth(recording_.ranks, static_cast<int32_t>(k) + 1);
    ++ranks.reached;
    if (taken < 0) return;
    const uint8_t rank = drafts.nodes[static_cast<size_t>(taken)].rank;
    ++ranks.hits[std::min<size_t>(rank, ranks.hits.size() - 1)];
    parent = taken;
  }
}

// A node behind the request's last token was neither right nor wrong.
void Recorder::count_calibration(const verify::TokenTree& tree, const verify::Verified& verified) {
  enum class Passed : uint8_t { kNo, kYes, kUnknown };
  std::vector<Passed> passed(static_cast<size_t>(tree.size()), Passed::kYes);
  for (int32_t node = 1; node < tree.size(); ++node) {
    const verify::TokenTree::Node& child = tree[node];
    Passed& own = passed[static_cast<size_t>(node)];
    own = passed[static_cast<size_t>(child.parent)];
    if (own == Passed::kYes && child.depth > std::ssize(verified.emitted)) own = Passed::kUnknown;
    if (own == Passed::kYes && verified.emitted[static_cast<size_t>(child.depth - 1)] != child.token)
      own = Passed::kNo;
    if (own == Passed::kUnknown) continue;
    at_depth(recording_.calibration, child.depth)
        .add(std::clamp(static_cast<double>(child.path_probability), 0.0, 1.0), own == Passed::kYes);
  }
}

void Recorder::count_seconds(const scheduler::StepBatch& batch, const scheduler::StepOutcome& outcome) {
  const auto rows = static_cast<int64_t>(batch.logit_rows.size());
  const auto all = static_cast<int64_t>(batch.rows.size());
  (all == rows ? recording_.decode[static_cast<int32_t>(rows)] : recording_.mixed)
      .add({.steps = 1,
            .rows = rows,
            .prompt_rows = all - rows,
            .experts = outcome.distinct_experts,
            .verify_seconds = outcome.verify_seconds,
            .commit_seconds = outcome.commit_seconds});
}

}  // namespace ft::eval
