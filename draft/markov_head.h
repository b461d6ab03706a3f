// The sequential part of a DSpark draft. The token before a draft position adds a bias to its logits and a
// term to its confidence (dspark.md 1.5, 1.6).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/weights.h"

namespace ft::draft {

class MarkovHead {
 public:
  // Up to rows_max tokens at a time. `weights` must outlive the head.
  MarkovHead(Backend& backend, const DsparkWeights& weights, int64_t rows_max);

  // Computes, for tokens x_i: e_i = W1[x_i], bias_i = W2 e_i [V] and confidence_i = w_e . e_i, the last r of
  // the d + r confidence weights. float32. One pass over W2 for all tokens.
  void run(std::span<const int32_t> tokens);

  // Results of the last run, on the host. Row i of the bias is [V].
  std::span<const float> bias(size_t row) const {
    return std::span(host_bias_).subspan(row * static_cast<size_t>(vocab_), static_cast<size_t>(vocab_));
  }
  std::span<const float> confidence() const { return std::span(host_confidence_).first(rows_); }
  // [tokens, r] in backend memory.
  Matrix embeddings() const { return embeddings_; }
  int64_t rows_max() const { return rows_max_; }

 private:
  Backend& backend_;
  const DsparkWeights& weights_;
  Weight confidence_weight_;
  int64_t rows_max_;
  int64_t vocab_;
  size_t rows_ = 0;
  Buffer memory_;
  int32_t* tokens_ = nullptr;
  Matrix embeddings_;
  Matrix bias_;
  Matrix confidence_;
  std::vector<float> host_bias_;
  std::vector<float> host_confidence_;
};

// The confidence weights [1, d + r] that apply to the hidden state (the first d) and to the Markov embedding.
Weight hidden_confidence(const DsparkWeights& weights);
Weight markov_confidence(const DsparkWeights& weights);

}  // namespace ft::draft
