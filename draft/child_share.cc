#include "draft/child_share.h"

#include <algorithm>

namespace ft::draft {

namespace {

// Starting values, until the scheduler calibrates them.
// The draft's own probability is over-confident at its end.
constexpr float kFirstMax = 0.98f;
// T > 0: chance that the next child of the perturbed order is the target's token, given that the ones before
// are not. dspark.md 6.6: (coupled noise 2 - coupled noise 1) / (1 - coupled noise 1) is 0.61 at sigma 0.7
// and 0.38 at 1.2.
constexpr float kNextOfNoise = 0.5f;
// The same for a first child without a confidence head: at most as much is lost as the draft is unsure.
constexpr float kFirstOfNoise = 0.5f;

}  // namespace

float first_child_share(float probability, bool greedy) {
  if (greedy) return std::min(probability, kFirstMax);
  return std::min(kFirstOfNoise + (1.0f - kFirstOfNoise) * probability, kFirstMax);
}

void share_remainder(float first, bool greedy, std::span<const RankedChild> children,
                     std::span<float> shares) {
  float remaining = 1.0f;
  float unranked = 1.0f;  // probability under the draft of everything after the children so far
  for (size_t j = 0; j < children.size(); ++j) {
    float part = first;
    if (j > 0)
      part = greedy ? std::min(children[j].probability / std::max(unranked, 1e-6f), 1.0f) : kNextOfNoise;
    shares[j] = remaining * part;
    // Whatever the first is worth, the order of the children stands.
    if (j > 0) shares[j] = std::min(shares[j], shares[j - 1]);
    remaining -= shares[j];
    unranked -= children[j].probability;
  }
}

}  // namespace ft::draft
