#include "scheduler/speculation/global_selection.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// A candidate worth less than this part of what a row costs at the rate without drafts is not looked at: the
// cost curve is not flat enough anywhere to make up for it.
constexpr double kHopeless = 0.1;

// A positive float's place in an order by size, coarse: 5 bits of mantissa, so that there are few places to
// sort into.
constexpr uint32_t coarse(float value) {
  return std::bit_cast<uint32_t>(value) >> 18;
}

}  // namespace

GlobalSelection::GlobalSelection(const CostModel& costs, const ExpertLayout& experts)
    : costs_(costs), pricing_(experts) {
  offsets_.resize((size_t{kLastRank} + 1) * kDepths);
}

// The step without drafted rows.
GlobalSelection::Reach GlobalSelection::begin(std::span<const Candidates> requests, const StepBase& base) {
  quotas_.clear();
  size_t places = 1;
  for (const Candidates& request : requests) {
    quotas_.push_back({places, request.nodes_max, pricing_.own_score_experts(request.expert_overlap)});
    places += request.nodes.size();
  }
  taken_.assign(places, 0);
  taken_[0] = 1;
  Reach start{.tokens = static_cast<double>(base.emitting),
              .experts = pricing_.begin(base.anchors, base.rows, places - 1)};
  start.seconds = std::max(1e-12, base.draft_seconds + costs_.verify_seconds(base.rows, start.experts));
  if (costs_.measured() && base.running > base.emitting) {
    // A step that reads prompts emits little, but that makes time no cheaper than in a step of its own.
    const auto running = static_cast<double>(base.running);
    start.tokens =
        std::max(start.tokens, running / std::max(costs_.verify_seconds(running), 1e-12) * start.seconds);
  }
  return start;
}

// A path probability that no row is worth.
float GlobalSelection::worthless(const StepBase& base, const Reach& start) const {
  if (!costs_.measured()) return -1.0f;
  const double now = costs_.verify_seconds(base.rows, start.experts);
  const double further = std::max(1.0, static_cast<double>(base.emitting));
  const double cheapest =
      std::min(costs_.verify_seconds(base.rows + 1.0, start.experts) - now,
               (costs_.verify_seconds(base.rows + further, start.experts) - now) / further);
  return static_cast<float>(kHopeless * start.tokens / start.seconds * std::max(cheapest, 0.0));
}

// Lists the candidates that may be worth their rows, each with its key.
void GlobalSelection::list_entries(std::span<const Candidates> requests, const StepBase& base,
                                   float worthless) {
  const auto rows = static_cast<double>(base.rows);
  const double reach = std::max(1.0, static_cast<double>(base.emitting));
  const double row_price =
      std::max(1e-12, (costs_.verify_seconds(rows + reach, 0.0) - costs_.verify_seconds(rows, 0.0)) / reach);
  const double expert_price = costs_.seconds_per_expert();
  const double score_unused = pricing_.score_unused();
  const bool by_token = expert_price > 0.0 && pricing_.by_token();
  entries_.resize(taken_.size() - 1);
  size_t listed = 0;
  last_key_ = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    const Candidates& request = requests[r];
    const auto first = static_cast<int32_t>(quotas_[r].first);
    const double own_price = row_price + expert_price * quotas_[r].own_score_experts * score_unused;
    const auto value_of = [&](double hash_experts) {
      return static_cast<float>(row_price / (own_price + expert_price * hash_experts));
    };
    const auto list = [&](size_t i, float density) {
      const draft::DraftNode& node = request.nodes[i];
      const uint32_t rank = std::min(coarse(1.0f) - coarse(density), kLastRank);
      const uint32_t key = rank * kDepths + std::min<uint32_t>(node.depth, kDepths) - 1;
      last_key_ = std::max(last_key_, key);
      entries_[listed++] = {request.probability[i], first + static_cast<int32_t>(i),
                            node.parent < 0 ? 0 : first + node.parent, static_cast<uint16_t>(r),
                            static_cast<uint16_t>(key)};
    };
    if (!by_token) {
      const float value = value_of(pricing_.expected_hash_experts());
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
      float density = probability * value_of(pricing_.new_hash_experts(node.token));
      if (node.parent >= 0) density = std::min(density, density_[static_cast<size_t>(node.parent)]);
      density_[i] = density;
      list(i, density);
    }
  }
  entries_.resize(listed);
}

// By falling value per cost; equal ones by depth, as far as that is told apart, then by request. A child,
// whose density is at most its parent's, stays behind it: a counting sort keeps the order in which equals are
// listed.
void GlobalSelection::sort_entries() {
  std::fill_n(offsets_.begin(), last_key_ + 1, 0);
  for (const Entry& entry : entries_) ++offsets_[entry.key];
  int32_t before = 0;
  for (int32_t& offset : std::span(offsets_).first(last_key_ + 1)) {
    const int32_t count = offset;
    offset = before;
    before += count;
  }
  sorted_.resize(entries_.size());
  for (const Entry& entry : entries_) sorted_[static_cast<size_t>(offsets_[entry.key]++)] = entry;
}

// Takes candidates in order, and takes back what comes after the best point. Before costs are known
// everything is verified.
GlobalSelection::Reach GlobalSelection::walk(std::span<const Candidates> requests, const StepBase& base,
                                             const Reach& start) {
  const bool measured = costs_.measured();
  // Members are looked up once: what is written to taken could be any of them.
  const Entry* const sorted = sorted_.data();
  Quota* const quotas = quotas_.data();
  uint8_t* const taken = taken_.data();
  const bool looks_up = pricing_.by_token() && pricing_.has_hash_layers();
  const double score_part = pricing_.score_part();
  double unused = pricing_.score_unused();
  const size_t last = sorted_.size();
  int32_t rows = base.rows;
  Reach reach = start;
  Reach best = start;
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
    if (measured) {
      // Of its own experts those that no other row uses are new.
      const double own = quota.own_score_experts;
      const int32_t token = looks_up ? token_of(requests, entry) : 0;
      reach.experts += own * unused + pricing_.new_hash_experts(token);
      unused *= 1.0 - own * score_part;
      pricing_.use_hash_experts(token);
    }
    reach.seconds = std::max(1e-12, base.draft_seconds + costs_.verify_seconds(rows, reach.experts));
    if (!measured || reach.faster_than(best)) best = reach;
  }
  for (size_t i = best.length; i < walked; ++i) taken[sorted[i].place] = 0;
  return best;
}

void GlobalSelection::collect(std::span<const Candidates> requests,
                              std::vector<std::vector<int32_t>>& kept) const {
  for (size_t r = 0; r < requests.size(); ++r) {
    // Every index is written, and the place moves on behind those taken: a branch would be guessed wrong too
    // often. One place more for what comes after the last.
    const uint8_t* own = taken_.data() + quotas_[r].first;
    kept[r].resize(requests[r].nodes.size() + 1);
    size_t place = 0;
    for (size_t i = 0; i < requests[r].nodes.size(); ++i) {
      kept[r][place] = static_cast<int32_t>(i);
      place += own[i];
    }
    kept[r].resize(place);
  }
}

double GlobalSelection::select(std::span<const Candidates> requests, const StepBase& base,
                               std::vector<std::vector<int32_t>>& kept) {
  FT_CHECK(kept.size() >= requests.size(), kept.size(), requests.size());
  FT_CHECK(requests.size() <= size_t{UINT16_MAX} + 1, requests.size());
  const Reach start = begin(requests, base);
  list_entries(requests, base, worthless(base, start));
  sort_entries();
  const Reach best = walk(requests, base, start);
  collect(requests, kept);
  return costs_.measured() ? best.tokens / best.seconds : 0.0;
}

}  // namespace ft::scheduler
