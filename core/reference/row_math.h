// Float64 sums over float32 rows, and weight rows decoded from their stored format.
#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "core/tensor.h"

namespace ft::reference {

// sum_i a_i b_i; products are exact in float64.
double dot(const float* a, const float* b, int64_t count);

// sum_i x_i^2
double sum_of_squares(const float* x, int64_t count);

double sigmoid(double x);

// out[0..cols) = row `row` of `weight`, each value exact unless its product
// with the scale leaves float32's range.
void decode_row(const Weight& weight, int64_t row, float* out);

// outputs[r][i] = W[first + i, :] . inputs[r], i < count, rounded once to float32.
void multiply(const Weight& weight, int64_t first, int64_t count, const std::vector<const float*>& inputs,
              const std::vector<float*>& outputs);

// partials[s][rows[r] * W.rows + i] += W[i, columns of shard s] . inputs[r][columns of shard s], for every shard s and
// output i.
void add_products(const Weight& weight, const std::vector<const float*>& inputs, const ShardEdges& shards,
                  const std::vector<int64_t>& rows, std::vector<std::vector<double>>& partials);

// Number of compressed entries that row `row` sees,
// and the address of entry `j` of them (backend.h, CompressedView).
int32_t visible_entries(const CompressedView& view, int64_t row);
int32_t entry_address(const CompressedView& view, int64_t row, int32_t j);

}  // namespace ft::reference
