#include "core/categorical.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/log_sum_exp.h"

namespace ft {

int32_t draw(std::span<const double> weights, double u) {
  double total = 0.0;
  for (const double weight : weights) total += weight;
  double sum = 0.0;
  int32_t last = 0;
  for (size_t v = 0; v < weights.size(); ++v) {
    if (weights[v] <= 0.0) continue;
    last = static_cast<int32_t>(v);
    sum += weights[v];
    if (sum > u * total) return last;
  }
  return last;
}

double softmax(std::span<const float> logits, double temperature, std::span<double> probability) {
  FT_CHECK(logits.size() == probability.size() && temperature > 0.0, logits.size(), probability.size(),
           temperature);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float largest = largest_logit(logits);
  double total = 0.0;
  for (size_t v = 0; v < logits.size(); ++v) {
    const bool possible = logits[v] > -kInfinity;
    const double gap = static_cast<double>(std::min(logits[v], largest)) - static_cast<double>(largest);
    probability[v] = possible ? std::exp(gap / temperature) : 0.0;
    total += probability[v];
  }
  if (total == 0.0) return 0.0;
  for (double& p : probability) p /= total;
  // exp(0) was the largest term.
  return 1.0 / total;
}

}  // namespace ft
