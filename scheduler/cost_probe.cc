#include "scheduler/cost_probe.h"

#include <algorithm>
#include <chrono>
#include <limits>
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

// The least that several rounds take: whatever else the machine does only ever adds. A round goes through all counts
// before any is repeated, so that a slow moment of the machine does not look like the price of a count.
class Least {
 public:
  void take(double seconds) { seconds_ = std::min(seconds_, seconds); }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = std::numeric_limits<double>::infinity();
};

struct VerifySample {
  int32_t rows;
  Least alike, spread;
  double alike_experts = 0.0, spread_experts = 0.0;
};

struct DraftSample {
  int32_t requests;
  double first = 0.0;  // of newly opened sequences: takes their contexts in
  Least trained, most;
};

// Calls sample(i) for i = 0, 1, ... until it returns false or time is up, and then again as far as it came.
template <class Sample>
void in_rounds(double until, Clock::time_point begin, Sample sample) {
  size_t count = 0;
  while (sample(count)) {
    ++count;
    if (seconds_since(begin) > until) break;
  }
  for (int repeat = 1; repeat < kRepeats; ++repeat) {
    for (size_t i = 0; i < count; ++i) {
      if (seconds_since(begin) > until) return;
      sample(i);
    }
  }
}

void measure_steps(Model& model, Probe& probe, ExpertUsage& experts, CostModel& costs,
                   Clock::time_point begin) {
  probe.verify(1, true);  // the first step of a process pays for much that later ones do not
  std::vector<VerifySample> samples;
  const auto distinct = [&](int32_t rows) {
    experts.count(model, rows);
    return static_cast<double>(experts.distinct());
  };
  in_rounds(kBudgetSeconds, begin, [&](size_t i) {
    const int32_t rows = 1 << i;
    if (rows > std::min(kRowsMax, model.cache().limits().rows)) return false;
    if (i == samples.size()) samples.push_back({rows, {}, {}});
    VerifySample& sample = samples[i];
    sample.alike.take(probe.verify(rows, true));
    sample.alike_experts = distinct(rows);
    sample.spread.take(probe.verify(rows, false));
    sample.spread_experts = distinct(rows);
    return true;
  });
  for (const VerifySample& sample : samples) {
    // Three times each: a price of experts takes more than one look at them.
    for (int times = 0; times < 3; ++times) {
      costs.observe_verify(sample.rows, sample.alike_experts, sample.alike.seconds());
      costs.observe_verify(sample.rows, sample.spread_experts, sample.spread.seconds());
    }
  }
}

void measure_drafts(Probe& probe, int32_t requests_max, draft::ModelDepth depths, CostModel& costs,
                    Clock::time_point begin) {
  std::vector<DraftSample> samples;
  in_rounds(1.5 * kBudgetSeconds, begin, [&](size_t i) {
    const int32_t requests = 1 << i;
    if (requests > requests_max) return false;
    while (probe.sequences() < static_cast<size_t>(requests))
      if (!probe.add_sequence()) return false;
    const auto draft = [&](int depth) { return probe.draft(static_cast<size_t>(requests), depth); };
    if (i == samples.size()) samples.push_back({requests, draft(depths.trained), {}, {}});
    samples[i].trained.take(draft(depths.trained));
    if (depths.most > depths.trained) samples[i].most.take(draft(depths.most));
    return true;
  });
  for (const DraftSample& sample : samples) {
    costs.observe_draft(sample.requests * depths.trained, 0, sample.trained.seconds());
    if (sample.requests > 1)
      costs.observe_draft(sample.requests * depths.trained, probe.context() * (sample.requests / 2),
                          sample.first);
    if (depths.most > depths.trained)
      costs.observe_draft(sample.requests * depths.most, 0, sample.most.seconds());
  }
}

}  // namespace

void measure_costs(Model& model, draft::Drafter& drafter, ExpertUsage& experts, CostModel& costs) {
  const auto begin = Clock::now();
  Probe probe(model, drafter);
  if (!probe.add_sequence()) return;
  measure_steps(model, probe, experts, costs, begin);
  if (drafter.model_depth().most > 0)
    measure_drafts(probe, std::min(kRequestsMax, model.cache().limits().sequences), drafter.model_depth(),
                   costs, begin);
}

}  // namespace ft::scheduler
