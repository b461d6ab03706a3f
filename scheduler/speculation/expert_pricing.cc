#include "scheduler/speculation/expert_pricing.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace ft::scheduler {

namespace {

// Anchors and candidates up to which each one's experts in hash layers are looked up.
constexpr size_t kRowsByToken = 256;

// Part of `all` experts that is left if each of `rows` rows chooses `own` of them by itself.
double unused_part(double all, double own, size_t rows) {
  return all > 0.0 ? std::pow(1.0 - own / all, static_cast<double>(rows)) : 1.0;
}

}  // namespace

ExpertPricing::ExpertPricing(const ExpertLayout& layout)
    : ids_per_token_(layout.hash_tables.size() * static_cast<size_t>(layout.per_token)),
      score_pairs_(static_cast<double>(layout.score_layers) * layout.per_token),
      score_all_(static_cast<double>(layout.score_layers) * layout.experts),
      score_part_(score_all_ > 0.0 ? 1.0 / score_all_ : 0.0) {
  const auto experts_per_layer = static_cast<size_t>(layout.experts);
  hash_used_.resize(layout.hash_tables.size() * experts_per_layer);
  FT_CHECK(layout.hash_tables.size() * experts_per_layer <= UINT16_MAX, layout.experts);
  // One token's experts of all hash layers lie side by side: pricing it touches one place in memory.
  hash_ids_.reserve(static_cast<size_t>(layout.vocab) * ids_per_token_);
  for (int64_t token = 0; token < layout.vocab; ++token)
    for (size_t layer = 0; layer < layout.hash_tables.size(); ++layer)
      for (int32_t k = 0; k < layout.per_token; ++k)
        hash_ids_.push_back(static_cast<uint16_t>(
            layer * experts_per_layer +
            static_cast<size_t>(layout.hash_tables[layer][token * layout.per_token + k])));
}

double ExpertPricing::begin(std::span<const int32_t> anchors, int32_t rows, size_t candidates) {
  // The tokens of prompt rows are not given, so they count for the score layers only.
  score_unused_ = unused_part(score_all_, score_pairs_, static_cast<size_t>(rows));
  const auto all = static_cast<double>(hash_used_.size());
  const auto own = static_cast<double>(ids_per_token_);
  by_token_ = candidates + anchors.size() <= kRowsByToken;
  double hashed = 0.0;
  if (by_token_) {
    std::fill(hash_used_.begin(), hash_used_.end(), 0);
    for (int32_t token : anchors) {
      hashed += new_hash_experts(token);
      use_hash_experts(token);
    }
  } else {
    hashed = all * (1.0 - unused_part(all, own, anchors.size()));
    hash_unused_by_row_ = all > 0.0 ? 1.0 - own / all : 1.0;
    hash_expected_ = all > 0.0 ? own * (1.0 - hashed / all) : 0.0;
  }
  return hashed + score_all_ * (1.0 - score_unused_);
}

}  // namespace ft::scheduler
