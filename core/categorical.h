// A draw from a categorical distribution by its cumulative sum:
// what rejection acceptance needs of the draft and of the target (docs/spec/dspark.md 2.3).
// Everything in double, so that the probability a token is tested with is the one it was drawn with.
#pragma once

#include <cstdint>
#include <span>

namespace ft {

// The token at which the cumulative sum of `weights` passes u * total; tokens of weight 0 are never chosen.
// u in (0, 1).
int32_t draw(std::span<const double> weights, double u);

// probability[v] = softmax(logits / temperature)[v], as many as logits; temperature > 0. A logit of NaN or
// -inf has probability 0, and +inf counts as the largest finite float. Returns the largest probability; 0,
// and all of them 0, if no token can be chosen.
double softmax(std::span<const float> logits, double temperature, std::span<double> probability);

}  // namespace ft
