#include "scheduler/speculation_policy.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// A candidate worth less than this part of what its row costs at the rate reached ends the search: the cost
// curve is not flat enough anywhere to make up for it.
constexpr double kHopeless = 0.1;

// A positive float's place in an order by size, coarse: 7 bits of mantissa.
uint32_t coarse(float value) {
  return std::bit_cast<uint32_t>(value) >> 16;
}

}  // namespace

SpeculationPolicy::SpeculationPolicy(const CostModel& costs, ExpertLayout experts, SelectionMode mode)
    : costs_(costs), experts_(std::move(experts)), mode_(mode) {
  const size_t words = (static_cast<size_t>(experts_.experts) + 63) / 64;
  hash_used_.resize(experts_.hash_tables.size() * words);
  offsets_.resize((size_t{1} << kKeyBits) + 1);
}

double SpeculationPolicy::begin_experts(const StepBase& base) {
  std::fill(hash_used_.begin(), hash_used_.end(), 0);
  hash_count_ = 0.0;
  // Rows whose tokens are not given (prompts) and score layers: as if every row chose by itself.
  score_used_ = 0.0;
  const double pairs = static_cast<double>(experts_.score_layers) * experts_.per_token;
  const double all = static_cast<double>(experts_.score_layers) * experts_.experts;
  for (int32_t row = 0; row < base.rows && all > 0.0; ++row) score_used_ += pairs * (1.0 - score_used_ / all);
  for (int32_t token : base.anchors) new_experts({}, token, true);
  return hash_count_ + score_used_;
}

double SpeculationPolicy::new_experts(const Candidates& request, int32_t token, bool take) {
  const size_t words = (static_cast<size_t>(experts_.experts) + 63) / 64;
  double added = 0.0;
  for (size_t layer = 0; layer < experts_.hash_tables.size(); ++layer) {
    const int32_t* ids = experts_.hash_tables[layer] + int64_t{token} * experts_.per_token;
    uint64_t* used = hash_used_.data() + layer * words;
    for (int32_t k = 0; k < experts_.per_token; ++k) {
      const uint64_t bit = uint64_t{1} << (ids[k] % 64);
      uint64_t& word = used[ids[k] / 64];
      added += (word & bit) == 0 ? 1.0 : 0.0;
      if (take) word |= bit;
    }
  }
  if (take) hash_count_ += added;
  if (request.nodes.empty() || experts_.score_layers == 0) return added;
  const double pairs = static_cast<double>(experts_.score_layers) * experts_.per_token;
  const double all = static_cast<double>(experts_.score_layers) * experts_.experts;
  const double fresh =
      pairs * (1.0 - static_cast<double>(request.expert_overlap)) * (1.0 - score_used_ / all);
  if (take) score_used_ += fresh;
  return added + fresh;
}

size_t SpeculationPolicy::depth_of(std::span<const Candidates> requests, Entry entry) {
  return requests[static_cast<size_t>(entry.request)].nodes[static_cast<size_t>(entry.node)].depth;
}

// Lists all candidates in sorted_, by falling value per cost. Stable twice, by depth and then by value, so
// that of equal ones the shallower come first, then those of earlier requests; a child, whose density is at
// most its parent's, stays behind it.
void SpeculationPolicy::order(std::span<const Candidates> requests, const StepBase& base) {
  entries_.clear();
  density_.clear();
  const auto rows = static_cast<double>(base.rows);
  const double reach = std::max(1.0, static_cast<double>(base.emitting));
  const double row_price =
      std::max(1e-12, (costs_.verify_seconds(rows + reach, 0.0) - costs_.verify_seconds(rows, 0.0)) / reach);
  // Under the causal modes a candidate's place may depend on its confidence only.
  const double expert_price = mode_ == SelectionMode::kGlobal ? costs_.seconds_per_expert() : 0.0;
  float highest = 0.0f;
  for (size_t r = 0; r < requests.size(); ++r) {
    const Candidates& request = requests[r];
    const size_t first = density_.size();
    for (size_t i = 0; i < request.nodes.size(); ++i) {
      double price = row_price;
      if (expert_price > 0.0) price += expert_price * new_experts(request, request.nodes[i].token, false);
      float density = static_cast<float>(static_cast<double>(request.probability[i]) * (row_price / price));
      const int32_t parent = request.nodes[i].parent;
      if (parent >= 0) density = std::min(density, density_[first + static_cast<size_t>(parent)]);
      density_.push_back(density);
      highest = std::max(highest, density);
      entries_.push_back({static_cast<int32_t>(r), static_cast<int32_t>(i)});
    }
  }
  constexpr uint32_t kLastKey = (1u << kKeyBits) - 1;
  const uint32_t top = coarse(highest);
  std::fill(offsets_.begin(), offsets_.end(), 0);
  depth_offsets_.fill(0);
  keys_.resize(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    const uint32_t key = std::min(top - coarse(density_[i]), kLastKey);
    keys_[i] = static_cast<uint16_t>(key);
    ++offsets_[key + 1];
    ++depth_offsets_[depth_of(requests, entries_[i]) + 1];
  }
  for (size_t key = 1; key < offsets_.size(); ++key) offsets_[key] += offsets_[key - 1];
  for (size_t depth = 1; depth < depth_offsets_.size(); ++depth)
    depth_offsets_[depth] += depth_offsets_[depth - 1];
  by_depth_.resize(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i)
    by_depth_[static_cast<size_t>(depth_offsets_[depth_of(requests, entries_[i])]++)] =
        static_cast<int32_t>(i);
  sorted_.resize(entries_.size());
  for (int32_t listed : by_depth_) {
    const auto i = static_cast<size_t>(listed);
    sorted_[static_cast<size_t>(offsets_[keys_[i]]++)] = entries_[i];
  }
}

// How many drafted rows kTwoStepBudget allows in this step; keeps this step's confidences for the one after
// next.
size_t SpeculationPolicy::budget(std::span<const Candidates> requests, const StepBase& base) {
  std::vector<float>& past = past_[step_ % past_.size()];
  // Before there is a past, everything is verified once.
  size_t best = entries_.size();
  if (step_ >= past_.size()) {
    best = 0;
    double tokens = base.emitting;
    double rate = tokens / (base.draft_seconds + costs_.verify_seconds(base.rows));
    for (size_t k = 0; k < past.size(); ++k) {
      tokens += static_cast<double>(past[k]);
      const double rows = base.rows + static_cast<double>(k + 1);
      const double here = tokens / (base.draft_seconds + costs_.verify_seconds(rows));
      if (here <= rate) continue;
      rate = here;
      best = k + 1;
    }
  }
  ++step_;
  past.clear();
  for (const Candidates& request : requests)
    past.insert(past.end(), request.probability.begin(), request.probability.end());
  std::sort(past.begin(), past.end(), std::greater<>());
  return best;
}

double SpeculationPolicy::select(std::span<const Candidates> requests, const StepBase& base,
                                 std::vector<std::vector<int32_t>>& kept) {
  FT_CHECK(kept.size() >= requests.size(), kept.size(), requests.size());
  expected_experts_ = begin_experts(base);
  order(requests, base);
  size_t first = 0;
  taken_.assign(requests.size(), 0);
  for (size_t r = 0; r < requests.size(); ++r) {
    kept[r].clear();
    taken_[r] = static_cast<int32_t>(first);
    first += requests[r].nodes.size();
  }
  // skipped_[taken_[r] + i]: node i of request r is not in, so that its children cannot be.
  skipped_.assign(entries_.size(), 1);
  const size_t allowed = mode_ == SelectionMode::kTwoStepBudget ? budget(requests, base) : entries_.size();
  const bool measured = costs_.measured();
  const bool plain_price = mode_ != SelectionMode::kGlobal;
  int32_t rows = base.rows;
  double tokens = base.emitting;
  double experts = expected_experts_;
  const auto seconds = [&] {
    return base.draft_seconds +
           (plain_price ? costs_.verify_seconds(rows) : costs_.verify_seconds(rows, experts));
  };
  double best_rate = measured ? tokens / std::max(seconds(), 1e-12) : 0.0;
  double best_experts = experts;
  size_t walked = 0;
  size_t best = 0;
  for (; walked < allowed && walked < sorted_.size() && rows < base.rows_max; ++walked) {
    const Entry entry = sorted_[walked];
    const auto r = static_cast<size_t>(entry.request);
    const Candidates& request = requests[r];
    const int32_t parent = request.nodes[static_cast<size_t>(entry.node)].parent;
    const auto flags = skipped_.begin() + taken_[r];
    if ((parent >= 0 && flags[parent] != 0) || static_cast<int32_t>(kept[r].size()) >= request.nodes_max)
      continue;
    const double value = request.probability[static_cast<size_t>(entry.node)];
    if (measured && mode_ == SelectionMode::kGlobal) {
      const double row_price =
          costs_.verify_seconds(rows + 1.0, experts) - costs_.verify_seconds(rows, experts);
      if (value < kHopeless * best_rate * row_price) break;
      experts += new_experts(request, request.nodes[static_cast<size_t>(entry.node)].token, true);
    }
    ++rows;
    tokens += value;
    kept[r].push_back(entry.node);
    flags[entry.node] = 0;
    if (mode_ == SelectionMode::kTwoStepBudget || !measured) {
      best = walked + 1;
      continue;
    }
    const double rate = tokens / seconds();
    if (rate > best_rate) {
      best_rate = rate;
      best = walked + 1;
      best_experts = experts;
    } else if (mode_ == SelectionMode::kStepwise) {
      ++walked;
      break;
    }
  }
  // Take back what came after the best point.
  while (walked > best) {
    const Entry entry = sorted_[--walked];
    std::vector<int32_t>& nodes = kept[static_cast<size_t>(entry.request)];
    if (!nodes.empty() && nodes.back() == entry.node) nodes.pop_back();
  }
  expected_experts_ = best_experts;
  for (size_t r = 0; r < requests.size(); ++r) std::sort(kept[r].begin(), kept[r].end());
  return best_rate;
}

}  // namespace ft::scheduler
