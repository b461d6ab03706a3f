// The pieces of a softmax over one row of logits, quick enough to run for every row.
// In all of them a NaN logit counts as -inf, and +inf as the largest finite float.
#pragma once

#include <cstdint>
#include <span>

namespace ft {

// The largest logit; -inf if there is none.
float largest_logit(std::span<const float> logits);

// terms[i] = exp((logits[i] - largest) * scale) in float32, for `largest` from the whole row, scale > 0, and
// as many terms as logits. Relative error below 3e-7 plus 2e-7 of the exponent's size; 0 where the exponent
// is below -87. The same bits for an element wherever it stands in the span.
void softmax_terms(std::span<const float> logits, float largest, float scale, float* terms);

// log(sum_v exp(logits[v] * inverse_temperature)): softmax_terms summed in double in a fixed order. Absolute
// error below 1e-5. -inf when no term is left. inverse_temperature > 0.
double log_sum_exp(std::span<const float> logits, double inverse_temperature);

}  // namespace ft
