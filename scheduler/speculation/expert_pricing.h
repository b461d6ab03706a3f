// How many distinct experts a step's rows are expected to read: the weights of an expert are read once,
// however many rows have chosen it, so a row that shares its experts with others costs less.
//
// In layers that route by token (hash layers) a row's experts are known before it is run. In layers that
// route by score, rows are taken to choose independently, but for what the rows of a request were seen to share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/speculation/node_selection.h"

namespace ft::scheduler {

// An expert here is a (layer, expert) pair.
class ExpertPricing {
 public:
  explicit ExpertPricing(const ExpertLayout& layout);

  // Begins a step that already contains `rows` rows, of which `anchors` are known tokens. `candidates`: nodes
  // that may be added. Returns the distinct experts of these rows.
  double begin(std::span<const int32_t> anchors, int32_t rows, size_t candidates);

  // Experts of the hash layers that a row of this token would add.
  double new_hash_experts(int32_t token) const {
    if (!by_token_) return hash_expected_;
    const uint16_t* ids = hash_experts(token);
    size_t known = 0;
    for (size_t k = 0; k < ids_per_token_; ++k) known += hash_used_[ids[k]];
    return static_cast<double>(ids_per_token_ - known);
  }
  // Adds a row of this token to the hash layers.
  void use_hash_experts(int32_t token) {
    if (!by_token_) {
      hash_expected_ *= hash_unused_by_row_;
      return;
    }
    const uint16_t* ids = hash_experts(token);
    for (size_t k = 0; k < ids_per_token_; ++k) hash_used_[ids[k]] = 1;
  }
  // Whether these depend on the token: in large steps they hardly do, and the mean stands for all.
  bool by_token() const { return by_token_; }
  bool has_hash_layers() const { return ids_per_token_ > 0; }
  // Of a row of an average token.
  double expected_hash_experts() const { return hash_expected_; }

  // Experts of the score layers that a row does not share with the rows before it in its tree.
  double own_score_experts(float overlap) const {
    return score_pairs_ * (1.0 - static_cast<double>(overlap));
  }
  // Part of the score layers' experts that no row of the step uses yet.
  double score_unused() const { return score_unused_; }
  // One of them as a part of all.
  double score_part() const { return score_part_; }

 private:
  const uint16_t* hash_experts(int32_t token) const {
    return hash_ids_.data() + static_cast<size_t>(token) * ids_per_token_;
  }

  size_t ids_per_token_;  // experts of one token in all hash layers together
  double score_pairs_;    // that one row activates in the score layers
  double score_all_;      // that these have
  double score_part_;
  std::vector<uint16_t> hash_ids_;  // [V, ids_per_token_], numbered through over the hash layers

  std::vector<uint8_t> hash_used_;  // per expert of the hash layers: 1 if the step uses it
  bool by_token_ = true;
  double hash_expected_ = 0.0;
  double hash_unused_by_row_ = 1.0;  // part of them that a row leaves
  double score_unused_ = 1.0;
};

}  // namespace ft::scheduler
