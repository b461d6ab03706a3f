#include "draft/child_ranking.h"

#include <cmath>

#include "core/log_sum_exp.h"
#include "draft/acceptance_table.h"

namespace ft::draft {

void conditional_scores(std::span<const RankedChild> children, std::span<float> scores) {
  float unranked = 1.0f;
  for (size_t j = 0; j < children.size(); ++j) {
    scores[j] = log_odds(children[j].probability / std::fmax(unranked, 1e-6f));
    unranked -= children[j].probability;
  }
}

size_t ChildRanking::rank(std::span<const float> logits, const Ranking& ranking,
                          std::span<RankedChild> best) {
  const std::span<const RankedToken> ranked =
      ranking_.rank(logits, ranking.temperature, ranking.noise, static_cast<int64_t>(best.size()));
  if (ranked.empty()) return 0;
  const double inverse_temperature = ranking.greedy() ? 1.0 : 1.0 / ranking.temperature;
  const double total = log_sum_exp(logits, inverse_temperature);
  for (size_t i = 0; i < ranked.size(); ++i) {
    const int32_t token = ranked[i].token;
    const double logit = logits[static_cast<size_t>(token)] * inverse_temperature;
    best[i] = {token, static_cast<float>(std::exp(std::fmin(logit - total, 0.0)))};
  }
  return ranked.size();
}

}  // namespace ft::draft
