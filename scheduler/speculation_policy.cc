#include "scheduler/speculation_policy.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <tuple>
#include <utility>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// A candidate worth less than this part of what a row costs at the rate without drafts is not looked at: the
// cost curve is not flat enough anywhere to make up for it.
constexpr double kHopeless = 0.1;

// Anchors and candidates up to which each one's experts in layers that route by token are looked up.
constexpr size_t kExactHashRows = 256;

// A positive float's place in an order by size, coarse: 5 bits of mantissa, so that there are few places to
// sort into.
constexpr uint32_t coarse(float value) {
  return std::bit_cast<uint32_t>(value) >> 18;
}

}  // namespace

SpeculationPolicy::SpeculationPolicy(const CostModel& costs, const ExpertLayout& experts, SelectionMode mode)
    : costs_(costs),
      mode_(mode),
      ids_per_token_(experts.hash_tables.size() * static_cast<size_t>(experts.per_token)),
      score_pairs_(static_cast<double>(experts.score_layers) * experts.per_token),
      score_all_(static_cast<double>(experts.score_layers) * experts.experts),
      score_share_(score_all_ > 0.0 ? 1.0 / score_all_ : 0.0) {
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
  offsets_.resize((size_t{kLastRank} + 1) * kDepths);
}

double SpeculationPolicy::begin_experts(const StepBase& base, size_t candidates) {
  // What is left as if each of `rows` rows chose `own` of `all` by itself: what score layers do, and prompts,
  // whose tokens are not given.
  const auto left = [](double all, double own, size_t rows) {
    return all > 0.0 ? std::pow(1.0 - own / all, static_cast<double>(rows)) : 1.0;
  };
  score_unused_ = left(score_all_, score_pairs_, static_cast<size_t>(base.rows));
  const auto all = static_cast<double>(hash_used_.size());
  const auto own = static_cast<double>(ids_per_token_);
  // Many rows use most experts of the layers that route by token, and what one more adds hardly depends on
  // its token any more.
  exact_hash_ = candidates + base.anchors.size() <= kExactHashRows;
  double hashed = 0.0;
  if (exact_hash_) {
    std::fill(hash_used_.begin(), hash_used_.end(), 0);
    for (int32_t token : base.anchors) {
      hashed += new_hash_experts(token);
      use_hash_experts(token);
    }
  } else {
    hashed = all * (1.0 - left(all, own, base.anchors.size()));
    hash_unused_by_row_ = all > 0.0 ? 1.0 - own / all : 1.0;
    hash_expected_ = all > 0.0 ? own * (1.0 - hashed / all) : 0.0;
  }
  return hashed + score_all_ * (1.0 - score_unused_);
}

double SpeculationPolicy::new_hash_experts(int32_t token) const {
  if (!exact_hash_) return hash_expected_;
  const uint16_t* ids = hash_experts(token);
  size_t known = 0;
  for (size_t k = 0; k < ids_per_token_; ++k) known += hash_used_[ids[k]];
  return static_cast<double>(ids_per_token_ - known);
}

void SpeculationPolicy::use_hash_experts(int32_t token) {
  if (!exact_hash_) {
    hash_expected_ *= hash_unused_by_row_;
    return;
  }
  const uint16_t* ids = hash_experts(token);
  for (size_t k = 0; k < ids_per_token_; ++k) hash_used_[ids[k]] = 1;
}

// Experts in the layers that route by score that a row of the request does not share with rows next to it.
double SpeculationPolicy::own_score_experts(const Candidates& request) const {
  return score_pairs_ * (1.0 - static_cast<double>(request.expert_overlap));
}

const draft::DraftNode& SpeculationPolicy::node_of(std::span<const Candidates> requests,
                                                   const Entry& entry) const {
  return requests[entry.request].nodes[static_cast<size_t>(entry.place) - quotas_[entry.request].first];
}

// Lists the candidates that may be worth their rows in sorted_, by falling value per cost; equal ones by
// depth, as far as that is told apart, then by request. So a child, whose density is at most its parent's,
// stays behind it. `worthless`: a probability that no row is worth.
void SpeculationPolicy::order(std::span<const Candidates> requests, const StepBase& base, float worthless) {
  const auto rows = static_cast<double>(base.rows);
  const double reach = std::max(1.0, static_cast<double>(base.emitting));
  const double row_price =
      std::max(1e-12, (costs_.verify_seconds(rows + reach, 0.0) - costs_.verify_seconds(rows, 0.0)) / reach);
  // Under the causal modes a candidate's place may depend on its confidence only.
  const double expert_price = mode_ == SelectionMode::kGlobal ? costs_.seconds_per_expert() : 0.0;
  entries_.resize(taken_.size() - 1);
  size_t listed = 0;
  uint32_t last_key = 0;
  const bool by_token = expert_price > 0.0 && exact_hash_;
  for (size_t r = 0; r < requests.size(); ++r) {
    const Candidates& request = requests[r];
    const auto first = static_cast<int32_t>(quotas_[r].first);
    const double own_price = row_price + expert_price * quotas_[r].own_score_experts * score_unused_;
    const auto value_of = [&](double hash_experts) {
      return static_cast<float>(row_price / (own_price + expert_price * hash_experts));
    };
    const auto list = [&](size_t i, float density) {
      const draft::DraftNode& node = request.nodes[i];
      const uint32_t rank = std::min(coarse(1.0f) - coarse(density), kLastRank);
      const uint32_t key = rank * kDepths + std::min<uint32_t>(node.depth, kDepths) - 1;
      last_key = std::max(last_key, key);
      entries_[listed++] = {request.probability[i], first + static_cast<int32_t>(i),
                            node.parent < 0 ? 0 : first + node.parent, static_cast<uint16_t>(r),
                            static_cast<uint16_t>(key)};
    };
    float value = value_of(hash_expected_);
    if (!by_token) {
      for (size_t i = 0; i < request.nodes.size(); ++i)
        if (request.probability[i] > worthless) list(i, request.probability[i] * value);
      continue;
    }
    // At most 1: the root of an order that never leaves a child before its parent.
    density_.assign(request.nodes.size(), 0.0f);
    for (size_t i = 0; i < request.nodes.size(); ++i) {
      const draft::DraftNode& node = request.nodes[i];
      const float probability = request.probability[i];
      if (probability <= worthless) continue;
      value = value_of(new_hash_experts(node.token));
      float density = probability * value;
      if (node.parent >= 0) density = std::min(density, density_[static_cast<size_t>(node.parent)]);
      density_[i] = density;
      list(i, density);
    }
  }
  // A counting sort keeps the order in which equals are listed, and so a child behind its parent.
  std::fill_n(offsets_.begin(), last_key + 1, 0);
  for (size_t i = 0; i < listed; ++i) ++offsets_[entries_[i].key];
  int32_t before = 0;
  for (int32_t& offset : std::span(offsets_).first(last_key + 1)) {
    const int32_t count = offset;
    offset = before;
    before += count;
  }
  sorted_.resize(listed);
  for (size_t i = 0; i < listed; ++i) sorted_[static_cast<size_t>(offsets_[entries_[i].key]++)] = entries_[i];
  if (mode_ == SelectionMode::kGlobal) return;
  // The paper's algorithms take the nodes in their exact order.
  const auto exact = [&](const Entry& entry) {
    return std::tuple(-entry.probability, node_of(requests, entry).depth, entry.place);
  };
  std::ranges::sort(sorted_, {}, exact);
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
  FT_CHECK(requests.size() <= size_t{UINT16_MAX} + 1, requests.size());
  const bool measured = costs_.measured();
  const bool global = mode_ == SelectionMode::kGlobal;
  const bool priced = measured && global;
  quotas_.clear();
  size_t places = 1;
  for (const Candidates& request : requests) {
    quotas_.push_back({places, request.nodes_max, own_score_experts(request)});
    places += request.nodes.size();
  }
  taken_.assign(places, 0);
  taken_[0] = 1;
  Reach reach{.tokens = static_cast<double>(base.emitting), .experts = begin_experts(base, places - 1)};
  int32_t rows = base.rows;
  // Under the causal modes a price must not depend on tokens.
  const auto seconds = [&] {
    return std::max(1e-12, base.draft_seconds + (global ? costs_.verify_seconds(rows, reach.experts)
                                                        : costs_.verify_seconds(rows)));
  };
  reach.seconds = seconds();
  if (measured && base.running > base.emitting) {
    // A step that reads prompts emits little, but that makes time no cheaper than in a step of its own.
    const auto running = static_cast<double>(base.running);
    reach.tokens =
        std::max(reach.tokens, running / std::max(costs_.verify_seconds(running), 1e-12) * reach.seconds);
  }
  Reach best = reach;
  float worthless = -1.0f;
  if (priced) {
    const double now = costs_.verify_seconds(rows, reach.experts);
    const double further = std::max(1.0, static_cast<double>(base.emitting));
    const double cheapest = std::min(costs_.verify_seconds(rows + 1.0, reach.experts) - now,
                                     (costs_.verify_seconds(rows + further, reach.experts) - now) / further);
    worthless = static_cast<float>(kHopeless * best.tokens / best.seconds * std::max(cheapest, 0.0));
  }
  order(requests, base, worthless);
  const size_t allowed = mode_ == SelectionMode::kTwoStepBudget ? budget(requests, base) : sorted_.size();
  const size_t last = std::min(allowed, sorted_.size());
  const bool takes_all = mode_ == SelectionMode::kTwoStepBudget || !measured;
  // Members are looked up once: what is written to taken could be any of them.
  const Entry* const sorted = sorted_.data();
  Quota* const quotas = quotas_.data();
  uint8_t* const taken = taken_.data();
  const bool looks_up = exact_hash_ && ids_per_token_ > 0;
  const double score_share = score_share_;
  double unused = score_unused_;
  size_t walked = 0;
  while (walked < last && rows < base.rows_max) {
    const Entry entry = sorted[walked++];
    Quota& quota = quotas[entry.request];
    if (taken[entry.parent] == 0 || quota.room <= 0) continue;
    taken[entry.place] = 1;
    --quota.room;
    ++rows;
    reach.tokens += static_cast<double>(entry.probability);
    reach.length = walked;
    if (priced) {
      // Of its own experts those that no other row uses are new.
      const double own = quota.own_score_experts;
      const int32_t token = looks_up ? node_of(requests, entry).token : 0;
      reach.experts += own * unused + new_hash_experts(token);
      unused *= 1.0 - own * score_share;
      use_hash_experts(token);
    }
    reach.seconds = seconds();
    if (takes_all || reach.faster_than(best)) {
      best = reach;
    } else if (mode_ == SelectionMode::kStepwise) {
      break;
    }
  }
  // Take back what came after the best point.
  for (size_t i = best.length; i < walked; ++i) taken[sorted[i].place] = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    // Every index is written, and the place moves on behind those taken: a branch would be guessed wrong too
    // often. One place more for what comes after the last.
    const uint8_t* own = taken + quotas[r].first;
    kept[r].resize(requests[r].nodes.size() + 1);
    size_t place = 0;
    for (size_t i = 0; i < requests[r].nodes.size(); ++i) {
      kept[r][place] = static_cast<int32_t>(i);
      place += own[i];
    }
    kept[r].resize(place);
  }
  expected_experts_ = best.experts;
  return measured ? best.tokens / best.seconds : 0.0;
}

}  // namespace ft::scheduler
