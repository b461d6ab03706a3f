// Which experts a step has read: how many distinct ones, and how much rows share. A (layer, expert) pair
// counts as one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model.h"

namespace ft::scheduler {

class ExpertUsage {
 public:
  explicit ExpertUsage(const ModelConfig& config);

  // Looks at the last forward call of `model`, which ran `rows` rows. Waits for it.
  void count(Model& model, int64_t rows);

  // Distinct pairs of the rows that count() saw.
  int64_t distinct() const { return distinct_; }
  // Appends for each of these rows, from the second on, the share of its experts that those before it have chosen too.
  // 1 for a model without experts.
  void append_overlaps(std::span<const int32_t> rows, std::vector<float>& shares);

 private:
  int64_t layers_;
  int64_t per_token_;
  size_t words_;
  std::vector<uint64_t> used_;  // [layers, words_]
  std::vector<uint64_t> seen_;  // [words_]
  int64_t distinct_ = 0;
  int64_t rows_ = 0;
  std::span<const int32_t> routing_;  // [layers, rows_, per_token_], ascending ids
};

}  // namespace ft::scheduler
