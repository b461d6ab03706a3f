#include "scheduler/cost_probe.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace ft::scheduler {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBudgetSeconds = 1.5;
constexpr int kRepeats = 4;
constexpr int32_t kRowsMax = 64;
constexpr int32_t kRequestsMax = 8;
constexpr int64_t kContext = 64;  // committed tokens before the rows that are timed
constexpr int32_t kDrafted = 16;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Sequences with a short context that the drafter has observed.
class Probe {
 public:
  Probe(Model& model, draft::Drafter& drafter) : model_(model), drafter_(drafter) {}
  ~Probe() {
    for (SequenceId sequence : sequences_) {
      drafter_.close(sequence);
      model_.cache().close(sequence);
    }
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // False if the cache has no room for another one.
  bool add_sequence() {
    const CacheLimits& limits = model_.cache().limits();
    const int64_t context = std::min({kContext, int64_t{limits.rows}, limits.context - 1});
    if (context < 1) return false;
    const Result<SequenceId> sequence = model_.cache().open(context);
    if (!sequence) return false;
    sequences_.push_back(*sequence);
    drafter_.open(*sequence, context);
    history_.clear();
    rows_.clear();
    order_.clear();
    for (int32_t i = 0; i < context; ++i) {
      history_.push_back(token(i));
      rows_.push_back({token(i), i, *sequence, i - 1});
      order_.push_back(i);
    }
    history_.push_back(token(static_cast<int32_t>(context)));
    KvTransaction transaction = model_.cache().begin();
    const ForwardOutput output = model_.forward(transaction.stage(rows_), {});
    std::move(transaction).commit(order_);
    const draft::ObservedRows observed{*sequence, 0, order_, std::span(history_).subspan(1)};
    drafter_.observe(output, std::span(&observed, 1));
    return true;
  }

  // One step of `rows` rows behind the first sequence. `alike`: all of the same token.
  double verify(int32_t rows, bool alike) {
    rows_.clear();
    order_.clear();
    const auto position = static_cast<int32_t>(model_.cache().length(sequences_.front()));
    for (int32_t i = 0; i < rows; ++i) {
      rows_.push_back({alike ? token(0) : token(7 * i + 1), position, sequences_.front(), kCommitted});
      order_.push_back(i);
    }
    const auto begin = Clock::now();
    KvTransaction transaction = model_.cache().begin();
    model_.forward(transaction.stage(rows_), order_);
    return seconds_since(begin);
  }

  // One draft for each of the first `requests` sequences, `depth` deep.
  double draft(size_t requests, int depth) {
    std::vector<draft::ProposeRequest> asked(requests);
    std::vector<draft::DraftTree> trees(requests);
    for (size_t i = 0; i < requests; ++i) {
      asked[i].sequence = sequences_[i];
      asked[i].anchor = history_.back();
      asked[i].position = static_cast<int64_t>(history_.size()) - 1;
      asked[i].history = history_;
      asked[i].nodes_max = kDrafted;
      asked[i].model_depth = depth;
    }
    const auto begin = Clock::now();
    drafter_.propose(asked, trees);
    return seconds_since(begin);
  }

  size_t sequences() const { return sequences_.size(); }
  // Tokens of each sequence's context.
  int64_t context() const { return static_cast<int64_t>(history_.size()) - 1; }

 private:
  // Spread over the vocabulary, so that rows differ.
  int32_t token(int32_t index) const {
    return static_cast<int32_t>((int64_t{index} * 7919 + 11) % model_.config().vocab_size);
  }

  Model& model_;
  draft::Drafter& drafter_;
  std::vector<SequenceId> sequences_;
  std::vector<int32_t> history_;  // of every sequence
  std::vector<Row> rows_;
  std::vector<int32_t> order_;
};

// The quickest of several runs: whatever else the machine does only ever adds.
template <class Run>
double quickest(Run run) {
  double best = run();
  for (int repeat = 1; repeat < kRepeats; ++repeat) best = std::min(best, run());
  return best;
}

}  // namespace

void measure_costs(Model& model, draft::Drafter& drafter, ExpertUsage& experts, CostModel& costs) {
  const auto begin = Clock::now();
  const CacheLimits& limits = model.cache().limits();
  Probe probe(model, drafter);
  if (!probe.add_sequence()) return;
  probe.verify(1, true);  // the first step of a process pays for much that later ones do not
  for (int32_t rows = 1; rows <= std::min(kRowsMax, limits.rows); rows *= 2) {
    // Three times each: a price of experts takes more than one look at them.
    const double alike = quickest([&] { return probe.verify(rows, true); });
    experts.count(model, rows);
    const auto alike_experts = static_cast<double>(experts.distinct());
    const double spread = quickest([&] { return probe.verify(rows, false); });
    experts.count(model, rows);
    const auto spread_experts = static_cast<double>(experts.distinct());
    for (int times = 0; times < 3; ++times) {
      costs.observe_verify(rows, alike_experts, alike);
      costs.observe_verify(rows, spread_experts, spread);
    }
    if (seconds_since(begin) > kBudgetSeconds) break;
  }
  const draft::ModelDepth depths = drafter.model_depth();
  const int trained = depths.trained;
  const int most = depths.most;
  if (most == 0) return;
  for (int32_t requests = 1; requests <= std::min(kRequestsMax, limits.sequences); requests *= 2) {
    while (probe.sequences() < static_cast<size_t>(requests))
      if (!probe.add_sequence()) return;
    const auto draft = [&](int depth) { return probe.draft(static_cast<size_t>(requests), depth); };
    // The first draft of a sequence takes its context in.
    const double first = draft(trained);
    costs.observe_draft(requests * trained, 0, quickest([&] { return draft(trained); }));
    if (requests > 1) costs.observe_draft(requests * trained, probe.context() * (requests / 2), first);
    if (most > trained) costs.observe_draft(requests * most, 0, quickest([&] { return draft(most); }));
    if (seconds_since(begin) > 1.5 * kBudgetSeconds) break;
  }
}

}  // namespace ft::scheduler
