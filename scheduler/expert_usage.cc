#include "scheduler/expert_usage.h"

#include <algorithm>

namespace ft::scheduler {

ExpertUsage::ExpertUsage(const ModelConfig& config)
    : layers_(config.num_hidden_layers),
      per_token_(config.num_experts_per_tok),
      words_((static_cast<size_t>(config.n_routed_experts) + 63) / 64),
      used_(static_cast<size_t>(layers_) * words_) {}

void ExpertUsage::count(Model& model, int64_t rows) {
  rows_ = rows;
  routing_ = model.fetch_routing(rows);
  std::fill(used_.begin(), used_.end(), 0);
  distinct_ = 0;
  const int32_t* id = routing_.data();
  for (int64_t layer = 0; layer < layers_; ++layer) {
    uint64_t* used = used_.data() + static_cast<size_t>(layer) * words_;
    for (int64_t i = 0; i < rows * per_token_; ++i, ++id) {
      uint64_t& word = used[*id / 64];
      const uint64_t bit = uint64_t{1} << (*id % 64);
      distinct_ += (word & bit) == 0 ? 1 : 0;
      word |= bit;
    }
  }
}

float ExpertUsage::overlap(int32_t a, int32_t b) const {
  int64_t shared = 0;
  for (int64_t layer = 0; layer < layers_; ++layer) {
    const auto of = [&](int32_t row) {
      return routing_.subspan(static_cast<size_t>((layer * rows_ + row) * per_token_),
                              static_cast<size_t>(per_token_));
    };
    for (int32_t id : of(a)) shared += std::ranges::binary_search(of(b), id) ? 1 : 0;
  }
  const int64_t all = layers_ * per_token_;
  return all > 0 ? static_cast<float>(shared) / static_cast<float>(all) : 1.0f;
}

}  // namespace ft::scheduler
