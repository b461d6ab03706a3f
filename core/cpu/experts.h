// Row kernels of the mixture of experts: routing and the gated unit (docs/spec/model.md 3.9).
#pragma once

#include <cstdint>
#include <vector>

#include "core/weights.h"

namespace ft::cpu {

struct RouteJob {
  const MoeWeights* moe;
  const int32_t* tokens;
  float* scores;  // [m, E]: gate . x on entry; sqrt(softplus) of it on return
  int k;
  float route_scale;
  int32_t* ids;
  float* weights;
};
void route_rows(const RouteJob& job, int64_t begin, int64_t end);

// (row, slot) pairs of a batch ordered by expert, so that each activated expert's weights are read once.
// Pair p of expert e lies in [first[e], first[e+1]); the pairs of an expert are in row order.
struct ExpertGroups {
  std::vector<int32_t> first;  // [E+1]
  std::vector<int32_t> row;    // [pairs] the row that a pair reads
  std::vector<float> weight;   // [pairs] its route weight

  // Makes room, so that build() does not allocate.
  void reserve(int64_t expert_count, int64_t pairs);
  void build(const int32_t* ids, const float* weights, int64_t rows, int k, int64_t expert_count);
};

// h = rb(weight * silu(min(gate, limit)) * clamp(up, +-limit)), in place of gate.
// `weight` null = 1 (shared expert).
struct GatedUnitJob {
  float* gate;      // [rows, width]
  const float* up;  // [rows, width]
  int64_t width;
  const float* weight;  // of the first `weighted` rows; the rows behind them are the shared expert's
  int64_t weighted;
  float limit;
  bool official;
};
void gated_unit_rows(const GatedUnitJob& job, int64_t begin, int64_t end);

}  // namespace ft::cpu
