// Row kernels of the residual streams: hyper-connection entry, exit and head, means and sums
// (docs/spec/model.md 3.2, 3.10, 3.11). Each computes rows [begin, end) of its job; rows are independent.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace ft::cpu {

inline constexpr int kStreamsMax = 8;

struct HyperConnectionJob {
  Matrix streams;      // [m, n*d]
  const float* mixes;  // fn . streams, unscaled: [m, (2+n)n], or [m, n] for a head
  Vector base;
  Vector scale;
  Vector norm;  // optional RMS norm of y
  Matrix y;     // [m, d]
  Matrix post;  // [m, n]; not for a head
  Matrix comb;  // [m, n*n]; not for a head
  int stream_count;
  int sinkhorn_iters;
  float rms_norm_eps;
  float hc_eps;
  bool official;
};
// rho, pre, post, Sinkhorn comb, then y = rb(sum_i pre_i X_i) and its norm.
void hc_entry_rows(const HyperConnectionJob& job, int64_t begin, int64_t end);
// rho, pre and y only.
void hc_head_rows(const HyperConnectionJob& job, int64_t begin, int64_t end);

struct HyperConnectionExitJob {
  Matrix streams;  // [m, n*d], replaced
  Matrix output;   // [m, d]
  Matrix post;
  Matrix comb;
  bool official;
};
void hc_exit_rows(const HyperConnectionExitJob& job, int64_t begin, int64_t end);

// out[r, :] = rb(mean of the streams of row r), summed in ascending order.
void stream_mean_rows(Matrix streams, int stream_count, Matrix out, bool official, int64_t begin,
                      int64_t end);

// streams[r, s, :] = rb(e[r, :] + h[r, s, :]).
void combine_rows(Matrix e, Matrix h, Matrix streams, bool official, int64_t begin, int64_t end);

}  // namespace ft::cpu
