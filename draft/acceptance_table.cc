#include "draft/acceptance_table.h"

#include <algorithm>
#include <cmath>

namespace ft::draft {

namespace {

AcceptanceTable starting_values(bool greedy) {
  AcceptanceTable model;
  for (SourceAcceptance& table : model.tables)
    for (DepthAcceptance& row : table) {
      // T > 0: the chance that the next child of the perturbed order is the target's token, given that the
      // ones before are not, hardly depends on its own probability. dspark.md 6.6: 0.61 at sigma 0.7, 0.38
      // at 1.2.
      if (greedy) continue;
      for (int rank = 1; rank < kBranchMax; ++rank) row.set(rank, {0.0f, 0.0f});
    }
  // Two sources that agree are right more often than the model's own score says.
  for (DepthAcceptance& row : model.tables[static_cast<size_t>(DraftSource::kBoth)]) row.set(0, {1.0f, 1.0f});
  return model;
}

}  // namespace

Sigmoid::Sigmoid() {
  for (size_t cell = 0; cell < cells_.size(); ++cell)
    cells_[cell].value =
        static_cast<float>(1.0 / (1.0 + std::exp(kMost - static_cast<double>(cell) / kPerUnit)));
  cells_.back().value = 1.0f;
  // Of the rounded values, so that a line ends where the next one begins.
  for (size_t cell = 0; cell + 1 < cells_.size(); ++cell)
    cells_[cell].rise = cells_[cell + 1].value - cells_[cell].value;
}

const AcceptanceTable& default_acceptance(bool greedy) {
  static const AcceptanceTable kGreedy = starting_values(true);
  static const AcceptanceTable kSampled = starting_values(false);
  return greedy ? kGreedy : kSampled;
}

float bounded_score(float score) {
  return score > -kScoreMost ? std::min(score, kScoreMost) : -kScoreMost;
}

float log_odds(float probability) {
  constexpr float kEdge = 1e-4f;  // a score of 9.2
  const float p = probability > kEdge ? std::min(probability, 1.0f - kEdge) : kEdge;
  return std::log(p / (1.0f - p));
}

}  // namespace ft::draft
