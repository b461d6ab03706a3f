// Row kernels on the outputs of projections:
// norms, rotations, and the quantised rows that caches hold (docs/spec/model.md 3.0, 3.3, 3.5, 3.6).
// Each computes items [begin, end) of its job; items are independent.
#pragma once

#include <cstdint>

#include "core/backend.h"

namespace ft::cpu {

void rms_norm_rows(Matrix x, Vector weight, Matrix y, float eps, bool official, int64_t begin, int64_t end);

// Items are heads: row r, head h is item r * (q.cols / head_dim) + h.
void query_heads(Matrix q, int64_t head_dim, Rotations rotations, float eps, bool official, int64_t begin,
                 int64_t end);
void index_query_heads(Matrix q, int64_t head_dim, Rotations rotations, bool official, int64_t begin,
                       int64_t end);

struct StoreKvJob {
  Matrix x;
  Vector norm;
  Rotations rotations;
  CacheRows raw;
  const int32_t* dst;
  float eps;
  bool official;
};
void store_kv_rows(const StoreKvJob& job, int64_t begin, int64_t end);

struct CompressJob {
  const float* state;
  const int32_t* sources;
  int ratio;
  int64_t head_dim;
  Vector norm;
  Rotations rotations;
  bool is_index_key;
  CacheRows out;
  const int32_t* dst;
  float eps;
  bool official;
};
void compress_entries(const CompressJob& job, int64_t begin, int64_t end);

}  // namespace ft::cpu
