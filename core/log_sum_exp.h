// The normaliser of a softmax over one row of logits, quick enough to run for every row.
#pragma once

#include <cstdint>
#include <span>

namespace ft {

// log(sum_v exp(logits[v] * inverse_temperature)), the terms in float32 (relative error below 3e-7), summed
// in double in a fixed order. NaN and -inf logits add nothing; +inf counts as the largest finite float. -inf
// when no term is left. inverse_temperature > 0.
double log_sum_exp(std::span<const float> logits, double inverse_temperature);

}  // namespace ft
