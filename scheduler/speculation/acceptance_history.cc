#include "scheduler/speculation/acceptance_history.h"

#include <algorithm>
#include <cmath>

namespace ft::scheduler {

namespace {

// Path probability of the most probable node at this depth, 0 if there is none.
float reached_at(std::span<const draft::DraftNode> nodes, std::span<const float> probability, int depth) {
  float reached = 0.0f;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].depth == depth) reached = std::max(reached, probability[i]);
  return reached;
}

}  // namespace

AcceptanceHistory::Shown AcceptanceHistory::show(std::span<const draft::DraftNode> nodes,
                                                 std::span<const float> probability, int depth,
                                                 int trained_depth) {
  Shown shown;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const float p = probability[i];
    // What a constraint forces is known without the model.
    if (p <= shown.best.back() || nodes[i].depth > trained_depth ||
        nodes[i].source == draft::DraftSource::kForced)
      continue;
    shown.count = std::min(shown.count + 1, kNodes);
    size_t place = shown.count - 1;
    for (; place > 0 && shown.best[place - 1] < p; --place) shown.best[place] = shown.best[place - 1];
    shown.best[place] = p;
  }
  shown.reach = reached_at(nodes, probability, trained_depth);
  shown.trained_depth = trained_depth;
  shown.whole = depth >= trained_depth;
  return shown;
}

void AcceptanceHistory::observe(const Shown& shown) {
  const bool first = observations == 0.0f;
  observations = std::min(observations + 1.0f, kHistoryMemory);
  const float weight = 1.0f / observations;
  for (size_t i = 0; i < kNodes; ++i) {
    if (i < shown.count || shown.whole) {
      value[i] += (shown.best[i] - value[i]) * weight;
    } else if (first && shown.count > 0) {
      value[i] = shown.best[shown.count - 1];
    }
    sum[i + 1] = sum[i] + value[i];
  }
  if (!shown.whole) return;
  reach += (shown.reach - reach) * weight;
  onward = std::pow(reach, 1.0f / static_cast<float>(shown.trained_depth));
}

}  // namespace ft::scheduler
