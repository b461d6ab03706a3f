#include "scheduler/speculation_policy.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// A candidate worth less than this part of what a row costs at the rate without drafts is not looked at: the
// cost curve is not flat enough anywhere to make up for it.
constexpr double kHopeless = 0.1;

// Candidates up to which each one's experts in layers that route by token are looked up.
constexpr size_t kExactHashCandidates = 256;

// A positive float's place in an order by size, coarse: 7 bits of mantissa.
constexpr uint32_t coarse(float value) {
  return std::bit_cast<uint32_t>(value) >> 16;
}

}  // namespace

SpeculationPolicy::SpeculationPolicy(const CostModel& costs, const ExpertLayout& experts, SelectionMode mode)
    : costs_(costs),
      mode_(mode),
      ids_per_token_(experts.hash_tables.size() * static_cast<size_t>(experts.per_token)),
      score_pairs_(static_cast<double>(experts.score_layers) * experts.per_token),
      score_all_(static_cast<double>(experts.score_layers) * experts.experts) {
  const auto experts_per_layer = static_cast<size_t>(experts.experts);
  hash_used_.resize(experts.hash_tables.size() * experts_per_layer);
  FT_CHECK(experts.hash_tables.size() * experts_per_layer <= UINT16_MAX, experts.experts);
  // One token's experts of all hash layers side by side, numbered through: pricing it touches one place in
  // memory.
  hash_ids_.reserve(static_cast<size_t>(experts.vocab) * ids_per_token_);
  for (int64_t token = 0; token < experts.vocab; ++token)
    for (size_t layer = 0; layer < experts.hash_tables.size(); ++layer)
      for (int32_t k = 0; k < experts.per_token; ++k)
        hash_ids_.push_back(static_cast<uint16_t>(
            layer * experts_per_layer +
            static_cast<size_t>(experts.hash_tables[layer][token * experts.per_token + k])));
  offsets_.resize((size_t{1} << kKeyBits) + 1);
}

double SpeculationPolicy::begin_experts(const StepBase& base, size_t candidates) {
  std::fill(hash_used_.begin(), hash_used_.end(), 0);
  // Rows whose tokens are not given (prompts) and score layers: as if every row chose by itself.
  score_used_ = 0.0;
  for (int32_t row = 0; row < base.rows && score_all_ > 0.0; ++row)
    score_used_ += score_pairs_ * (1.0 - score_used_ / score_all_);
  exact_hash_ = true;
  double hashed = 0.0;
  for (int32_t token : base.anchors) {
    hashed += new_hash_experts(token);
    use_hash_experts(token);
  }
  // So many rows use most experts of these layers, and what one more adds hardly depends on its token any
  // more.
  exact_hash_ = candidates <= kExactHashCandidates;
  const auto all = static_cast<double>(hash_used_.size());
  hash_unused_by_row_ = all > 0.0 ? 1.0 - static_cast<double>(ids_per_token_) / all : 1.0;
  hash_expected_ = all > 0.0 ? static_cast<double>(ids_per_token_) * (1.0 - hashed / all) : 0.0;
  return hashed + score_used_;
}

double SpeculationPolicy::new_hash_experts(int32_t token) const {
  if (!exact_hash_) return hash_expected_;
  const uint16_t* ids = hash_ids_.data() + static_cast<size_t>(token) * ids_per_token_;
  size_t known = 0;
  for (size_t k = 0; k < ids_per_token_; ++k) known += hash_used_[ids[k]];
  return static_cast<double>(ids_per_token_ - known);
}

void SpeculationPolicy::use_hash_experts(int32_t token) {
  if (!exact_hash_) {
    hash_expected_ *= hash_unused_by_row_;
    return;
  }
  const uint16_t* ids = hash_ids_.data() + static_cast<size_t>(token) * ids_per_token_;
  for (size_t k = 0; k < ids_per_token_; ++k) hash_used_[ids[k]] = 1;
}

// What a row of the request adds in the layers that route by score: its own experts, less those that rows
// next to it and all others have chosen already.
double SpeculationPolicy::new_score_experts(const Candidates& request) const {
  if (score_all_ == 0.0) return 0.0;
  return score_pairs_ * (1.0 - static_cast<double>(request.expert_overlap)) *
         (1.0 - score_used_ / score_all_);
}

// Lists the candidates that may be worth their rows in sorted_, by falling value per cost. Stable, and equal
// ones by depth: so the shallower come first, then those of earlier requests, and a child, whose density is
// at most its parent's, stays behind it. `worthless`: a probability that no row is worth.
void SpeculationPolicy::order(std::span<const Candidates> requests, const StepBase& base, float worthless) {
  entries_.clear();
  keys_.clear();
  const auto rows = static_cast<double>(base.rows);
  const double reach = std::max(1.0, static_cast<double>(base.emitting));
  const double row_price =
      std::max(1e-12, (costs_.verify_seconds(rows + reach, 0.0) - costs_.verify_seconds(rows, 0.0)) / reach);
  // Under the causal modes a candidate's place may depend on its confidence only.
  const double expert_price = mode_ == SelectionMode::kGlobal ? costs_.seconds_per_expert() : 0.0;
  for (size_t r = 0; r < requests.size(); ++r) {
    const Candidates& request = requests[r];
    const double own_price = row_price + expert_price * new_score_experts(request);
    density_.assign(request.nodes.size(), 0.0f);
    for (size_t i = 0; i < request.nodes.size(); ++i) {
      const draft::DraftNode& node = request.nodes[i];
      const float probability = request.probability[i];
      if (probability <= worthless) continue;
      double price = own_price;
      if (expert_price > 0.0) price += expert_price * new_hash_experts(node.token);
      // At most 1: the root of an order that never leaves a child before its parent.
      float density = probability * static_cast<float>(row_price / price);
      if (node.parent >= 0) density = std::min(density, density_[static_cast<size_t>(node.parent)]);
      density_[i] = density;
      keys_.push_back(static_cast<uint16_t>(std::min(coarse(1.0f) - coarse(density), kLastKey)));
      entries_.push_back({static_cast<int32_t>(r), static_cast<uint16_t>(i), node.depth});
    }
  }
  std::fill(offsets_.begin(), offsets_.end(), 0);
  for (uint16_t key : keys_) ++offsets_[key + size_t{1}];
  for (size_t key = 1; key < offsets_.size(); ++key) offsets_[key] += offsets_[key - 1];
  sorted_.resize(entries_.size());
  sorted_keys_.assign(entries_.size(), UINT16_MAX);
  for (size_t i = 0; i < entries_.size(); ++i) {
    // Equal ones are few: an insertion by depth.
    auto place = static_cast<size_t>(offsets_[keys_[i]]++);
    for (; place > 0 && sorted_keys_[place - 1] == keys_[i] && sorted_[place - 1].depth > entries_[i].depth;
         --place)
      sorted_[place] = sorted_[place - 1];
    sorted_[place] = entries_[i];
    sorted_keys_[static_cast<size_t>(offsets_[keys_[i]]) - 1] = keys_[i];
  }
}

// How many drafted rows kTwoStepBudget allows in this step; keeps this step's confidences for the one after
// next.
size_t SpeculationPolicy::budget(std::span<const Candidates> requests, const StepBase& base) {
  std::vector<float>& past = past_[step_ % past_.size()];
  // Before there is a past, everything is verified once.
  size_t best = SIZE_MAX;
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
  const bool measured = costs_.measured();
  const bool global = mode_ == SelectionMode::kGlobal;
  size_t candidates = 0;
  for (const Candidates& request : requests) candidates += request.nodes.size();
  double experts = begin_experts(base, candidates);
  int32_t rows = base.rows;
  double tokens = base.emitting;
  // Of the rows so far; under the causal modes a price must not depend on tokens.
  const auto verify_seconds = [&] {
    return global ? costs_.verify_seconds(rows, experts) : costs_.verify_seconds(rows);
  };
  if (measured && base.running > base.emitting) {
    // A step that reads prompts emits little, but that makes time no cheaper than in a step of its own.
    const auto running = static_cast<double>(base.running);
    const double rate = running / std::max(costs_.verify_seconds(running), 1e-12);
    tokens = std::max(tokens, rate * (base.draft_seconds + verify_seconds()));
  }
  double best_rate = measured ? tokens / std::max(base.draft_seconds + verify_seconds(), 1e-12) : 0.0;
  double best_experts = experts;
  float worthless = -1.0f;
  if (measured && global) {
    const double now = costs_.verify_seconds(rows, experts);
    const double reach = std::max(1.0, static_cast<double>(base.emitting));
    const double cheapest = std::min(costs_.verify_seconds(rows + 1.0, experts) - now,
                                     (costs_.verify_seconds(rows + reach, experts) - now) / reach);
    worthless = static_cast<float>(kHopeless * best_rate * std::max(cheapest, 0.0));
  }
  order(requests, base, worthless);
  first_.clear();
  size_t nodes = 0;  // of the requests so far
  for (size_t r = 0; r < requests.size(); ++r) {
    kept[r].clear();
    first_.push_back(nodes);
    nodes += requests[r].nodes.size();
  }
  taken_.assign(nodes, 0);
  const size_t allowed = mode_ == SelectionMode::kTwoStepBudget ? budget(requests, base) : sorted_.size();
  size_t walked = 0;
  size_t best = 0;
  for (; walked < allowed && walked < sorted_.size() && rows < base.rows_max; ++walked) {
    const Entry entry = sorted_[walked];
    const auto r = static_cast<size_t>(entry.request);
    const Candidates& request = requests[r];
    const draft::DraftNode& node = request.nodes[entry.node];
    uint8_t* taken = taken_.data() + first_[r];
    if ((node.parent >= 0 && taken[node.parent] == 0) || std::ssize(kept[r]) >= request.nodes_max) continue;
    const double value = request.probability[entry.node];
    if (measured && global) {
      const double fresh = new_score_experts(request);
      score_used_ += fresh;
      experts += fresh + new_hash_experts(node.token);
      use_hash_experts(node.token);
    }
    ++rows;
    tokens += value;
    kept[r].push_back(entry.node);
    taken[entry.node] = 1;
    if (mode_ == SelectionMode::kTwoStepBudget || !measured) {
      best = walked + 1;
      continue;
    }
    const double rate = tokens / (base.draft_seconds + verify_seconds());
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
    std::vector<int32_t>& own = kept[static_cast<size_t>(entry.request)];
    if (!own.empty() && own.back() == entry.node) own.pop_back();
  }
  expected_experts_ = best_experts;
  for (size_t r = 0; r < requests.size(); ++r) std::sort(kept[r].begin(), kept[r].end());
  return best_rate;
}

}  // namespace ft::scheduler
