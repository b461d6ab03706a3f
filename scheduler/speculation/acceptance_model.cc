#include "scheduler/speculation/acceptance_model.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// Optimism that makes no difference any more.
constexpr float kNoOptimism = 0.01f;

// Largest tree whose outcomes are learned from: more than any drafter proposes.
constexpr size_t kNodesMax = 512;

}  // namespace

AcceptanceModel::AcceptanceModel() : buckets_(kTemperatureBuckets) {
  for (size_t b = 0; b < buckets_.size(); ++b) {
    Bucket& own = buckets_[b];
    own.table = draft::default_acceptance(b == 0);
    for (size_t source = 0; source < own.logistic.size(); ++source)
      for (int depth = 1; depth <= kDepths; ++depth)
        for (int rank = 0; rank < draft::kBranchMax; ++rank)
          own.logistic[source][static_cast<size_t>(depth - 1)][static_cast<size_t>(rank)].start(
              own.table.row(static_cast<draft::DraftSource>(source), depth).at(rank));
    own.refresh_optimism();
  }
  passed_.reserve(kNodesMax);
  went_on_.reserve(kNodesMax + 1);
  verified_.reserve(kNodesMax);
}

const draft::AcceptanceTable& AcceptanceModel::table(double temperature) const {
  return bucket(temperature).table;
}

void AcceptanceModel::correct(double temperature, std::span<const draft::DraftNode> nodes,
                              std::vector<float>& corrected) const {
  const Bucket& own = bucket(temperature);
  corrected.resize(nodes.size());
  float* const out = corrected.data();
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    const float before = node.parent < 0 ? 1.0f : out[node.parent];
    if (node.source == draft::DraftSource::kForced) {
      out[i] = before;
      continue;
    }
    const size_t depth = std::min<size_t>(node.depth, kDepths) - 1;
    out[i] = std::min(own.isotonic[depth].at(node.path_probability), before);
  }
}

void AcceptanceModel::optimistic(double temperature, std::span<const draft::DraftNode> nodes,
                                 std::span<const float> corrected, std::vector<float>& optimistic) const {
  const Bucket& own = bucket(temperature);
  optimistic.assign(corrected.begin(), corrected.end());
  size_t deepest = 0;
  for (const draft::DraftNode& node : nodes) deepest = std::max<size_t>(deepest, node.depth);
  if (std::min<size_t>(deepest, kDepths) <= own.optimism_from) return;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    if (node.source == draft::DraftSource::kModel && node.rank == 0)
      optimistic[i] += (1.0f - optimistic[i]) * own.optimism[std::min<size_t>(node.depth, kDepths) - 1];
    const float before = node.parent < 0 ? 1.0f : optimistic[static_cast<size_t>(node.parent)];
    optimistic[i] = node.source == draft::DraftSource::kForced ? before : std::min(optimistic[i], before);
  }
}

void AcceptanceModel::Bucket::refresh_optimism() {
  optimism_from = optimism.size();
  for (size_t depth = optimism.size(); depth-- > 0;) {
    const auto weight = static_cast<float>(kOptimisticOutcomes / (outcomes[depth] + kOptimisticOutcomes));
    optimism[depth] = weight < kNoOptimism ? 0.0f : weight;
    if (optimism[depth] > 0.0f) optimism_from = depth;
  }
}

bool AcceptanceModel::learns_from(int64_t step, size_t tree, size_t trees) {
  return trees <= kFewTrees || (tree + static_cast<size_t>(step)) % (trees / kTreesPerStep) == 0;
}

void AcceptanceModel::observe(double temperature, std::span<const draft::DraftNode> nodes,
                              std::span<const float> corrected, std::span<const int32_t> verified,
                              std::span<const int32_t> emitted) {
  FT_CHECK(nodes.size() == corrected.size() && !emitted.empty(), nodes.size(), corrected.size());
  if (nodes.size() > kNodesMax) return;
  Bucket& own = bucket(temperature);
  passed_.resize(nodes.size());
  went_on_.assign(nodes.size() + 1, 0);
  verified_.assign(nodes.size(), 0);
  for (int32_t i : verified) verified_[static_cast<size_t>(i)] = 1;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    const Passed parent = node.parent < 0 ? Passed::kYes : passed_[static_cast<size_t>(node.parent)];
    Passed passed = parent;
    // Behind the last emitted token nothing is known of a node that the path may still run through.
    if (parent == Passed::kYes)
      passed = node.depth > emitted.size()                                  ? Passed::kUnknown
               : emitted[static_cast<size_t>(node.depth) - 1] == node.token ? Passed::kYes
                                                                            : Passed::kNo;
    passed_[i] = passed;
    if (passed == Passed::kUnknown || node.source == draft::DraftSource::kForced) continue;
    const bool hit = passed == Passed::kYes;
    const size_t depth = std::min<size_t>(node.depth, kDepths) - 1;
    // Behind a node that was not verified a hit could not be seen, so misses there must not count either.
    if (node.parent < 0 || verified_[static_cast<size_t>(node.parent)] != 0) {
      own.reliability[depth].add(static_cast<double>(corrected[i]), hit);
      own.isotonic[depth].observe(node.path_probability, hit);
    }
    if (parent != Passed::kYes) continue;
    // A conditional probability speaks of what the siblings ranked before have left.
    uint8_t& went_on = went_on_[static_cast<size_t>(node.parent + 1)];
    if (went_on != 0) continue;
    went_on = hit ? 1 : 0;
    observe_conditional(own, node, hit);
  }
  own.refresh_optimism();
}

// The outcome of a node whose parent was passed, and none of the siblings before it.
void AcceptanceModel::observe_conditional(Bucket& own, const draft::DraftNode& node, bool hit) {
  const size_t depth = std::min<size_t>(node.depth, kDepths) - 1;
  const size_t rank = std::min<size_t>(node.rank, draft::kBranchMax - 1);
  OnlineLogistic& logistic = own.logistic[static_cast<size_t>(node.source)][depth][rank];
  logistic.observe(node.score, hit);
  own.table.row(node.source, node.depth).set(static_cast<int>(rank), logistic.parameters());
  if (rank == 0 && node.source == draft::DraftSource::kModel) own.outcomes[depth] += 1.0;
  if (rank == 1) {
    own.second_chances += 1.0;
    own.second_hits += hit ? 1.0 : 0.0;
  }
}

const Reliability& AcceptanceModel::reliability(int bucket, int depth) const {
  return buckets_[static_cast<size_t>(bucket)].reliability[static_cast<size_t>(depth - 1)];
}

void AcceptanceModel::restart_reliability(int bucket) {
  buckets_[static_cast<size_t>(bucket)].reliability.fill({});
}

double AcceptanceModel::second_choice_rate(int bucket) const {
  const Bucket& b = buckets_[static_cast<size_t>(bucket)];
  return b.second_chances > 0.0 ? b.second_hits / b.second_chances : 0.0;
}

template <class Self, class Visit>
void AcceptanceModel::visit_state(Self& self, Visit visit) {
  for (auto& bucket : self.buckets_) {
    for (auto& source : bucket.logistic)
      for (auto& depth : source)
        for (auto& logistic : depth) OnlineLogistic::visit_state(logistic, visit);
    for (auto& isotonic : bucket.isotonic) IsotonicMap::visit_state(isotonic, visit);
    for (auto& outcomes : bucket.outcomes) visit(outcomes);
    visit(bucket.second_chances);
    visit(bucket.second_hits);
  }
}

std::vector<double> AcceptanceModel::save() {
  for (Bucket& own : buckets_)
    for (IsotonicMap& isotonic : own.isotonic) isotonic.refit();
  std::vector<double> saved;
  visit_state(*this, [&](double value) { saved.push_back(value); });
  return saved;
}

bool AcceptanceModel::restore(std::span<const double> saved) {
  size_t count = 0;
  visit_state(*this, [&](double) { ++count; });
  const bool finite =
      std::all_of(saved.begin(), saved.end(), [](double value) { return std::isfinite(value); });
  if (saved.size() != count || !finite) return false;
  const double* next = saved.data();
  visit_state(*this, [&](double& value) { value = *next++; });
  for (Bucket& own : buckets_) {
    own.refresh_table();
    for (IsotonicMap& isotonic : own.isotonic) isotonic.refit();
    own.refresh_optimism();
  }
  return true;
}

void AcceptanceModel::Bucket::refresh_table() {
  for (size_t source = 0; source < logistic.size(); ++source)
    for (int depth = 1; depth <= kDepths; ++depth)
      for (int rank = 0; rank < draft::kBranchMax; ++rank)
        table.row(static_cast<draft::DraftSource>(source), depth)
            .set(rank,
                 logistic[source][static_cast<size_t>(depth - 1)][static_cast<size_t>(rank)].parameters());
}

}  // namespace ft::scheduler
