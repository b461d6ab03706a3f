#include "scheduler/speculation/reliability.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ft::scheduler {

void Reliability::add(double predicted, bool hit) {
  // Newer predictions weigh more instead of older ones less: the sums only ever matter in proportion.
  weight *= kGrowth;
  if (weight > kWeightMax) {
    for (Bin& bin : bins) {
      bin.count /= weight;
      bin.predicted /= weight;
      bin.hits /= weight;
      bin.variance /= weight * weight;
    }
    squared_error /= weight;
    weight = 1.0;
  }
  const auto index = std::min(static_cast<size_t>(predicted * kBins), static_cast<size_t>(kBins - 1));
  const double error = predicted - (hit ? 1.0 : 0.0);
  bins[index].count += weight;
  bins[index].predicted += weight * predicted;
  bins[index].hits += hit ? weight : 0.0;
  bins[index].variance += weight * weight * predicted * (1.0 - predicted);
  squared_error += weight * error * error;
}

double Reliability::total() const {
  double sum = 0.0;
  for (const Bin& bin : bins) sum += bin.count;
  return sum;
}

double Reliability::ece() const {
  double difference = 0.0;
  for (const Bin& bin : bins) difference += std::abs(bin.predicted - bin.hits);
  return difference / std::max(total(), 1e-9);
}

double Reliability::noise() const {
  // A sum of many outcomes is nearly normal, and E|x| = sqrt(2 / pi) sigma.
  double expected = 0.0;
  for (const Bin& bin : bins) expected += std::sqrt(2.0 * std::numbers::inv_pi * bin.variance);
  return expected / std::max(total(), 1e-9);
}

double Reliability::brier() const {
  return squared_error / std::max(total(), 1e-9);
}

double Reliability::auc() const {
  double hits = 0.0;
  double misses = 0.0;
  double ordered = 0.0;
  for (const Bin& bin : bins) {
    const double missed = bin.count - bin.hits;
    ordered += bin.hits * (misses + 0.5 * missed);
    hits += bin.hits;
    misses += missed;
  }
  return hits > 0.0 && misses > 0.0 ? ordered / (hits * misses) : 0.5;
}

}  // namespace ft::scheduler
