#include "scheduler/expert_usage.h"

#include <algorithm>

namespace ft::scheduler {

namespace {

// False if it was there.
bool insert(uint64_t* set, int32_t id) {
  uint64_t& word = set[id / 64];
  const uint64_t bit = uint64_t{1} << (id % 64);
  const bool is_new = (word & bit) == 0;
  word |= bit;
  return is_new;
}

}  // namespace

ExpertUsage::ExpertUsage(const ModelConfig& config)
    : layers_(config.num_hidden_layers),
      per_token_(config.num_experts_per_tok),
      words_((static_cast<size_t>(config.n_routed_experts) + 63) / 64),
      used_(static_cast<size_t>(layers_) * words_),
      seen_(words_) {}

void ExpertUsage::count(Model& model, int64_t rows) {
  rows_ = rows;
  routing_ = model.fetch_routing(rows);
  std::fill(used_.begin(), used_.end(), 0);
  distinct_ = 0;
  const int32_t* id = routing_.data();
  for (int64_t layer = 0; layer < layers_; ++layer) {
    uint64_t* used = used_.data() + static_cast<size_t>(layer) * words_;
    for (int64_t i = 0; i < rows * per_token_; ++i, ++id) distinct_ += insert(used, *id) ? 1 : 0;
  }
}

void ExpertUsage::append_overlaps(std::span<const int32_t> rows, std::vector<float>& shares) {
  if (rows.size() < 2) return;
  const size_t first = shares.size();
  const int64_t all = layers_ * per_token_;
  shares.resize(first + rows.size() - 1, all > 0 ? 0.0f : 1.0f);
  if (all == 0) return;
  const float part = 1.0f / static_cast<float>(all);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    std::fill(seen_.begin(), seen_.end(), 0);
    for (size_t k = 0; k < rows.size(); ++k) {
      int64_t shared = 0;
      for (const int32_t id : routing_.subspan(static_cast<size_t>((layer * rows_ + rows[k]) * per_token_),
                                               static_cast<size_t>(per_token_))) {
        shared += insert(seen_.data(), id) ? 0 : 1;
      }
      if (k > 0) shares[first + k - 1] += static_cast<float>(shared) * part;
    }
  }
}

}  // namespace ft::scheduler
