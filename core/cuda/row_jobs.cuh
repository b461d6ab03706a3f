// Ops on one vector at a time, by one warp of any kernel: what lies between a projection and the cache or attention.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/vector_ops.cuh"

namespace ft::cuda {

inline constexpr int kSegment = 256;  // columns of a compressor's row that a warp stores

// Lane l holds the pairs l, l+32, ...
template <bool kOfficial>
__device__ void norm_query(const RowJob& job, float eps, int64_t vector, int lane) {
  const int head_dim = job.head_dim;
  const RotationTable& rotations = job.rotations;
  const int64_t heads = job.x.cols / head_dim;
  const int64_t r = vector / heads;
  float2* head = reinterpret_cast<float2*>(job.x.data + r * job.x.stride + vector % heads * head_dim);
  const int pairs = head_dim / 2;
  float sum = 0.0f;
  for (int i = lane; i < pairs; i += 32) {
    const float2 x = head[i];
    sum += rb<kOfficial>(x.x * x.x) + rb<kOfficial>(x.y * x.y);
  }
  const float mean = rb<kOfficial>(warp_sum(sum) / static_cast<float>(head_dim));
  const float factor = rb<kOfficial>(1.0f / sqrtf(rb<kOfficial>(mean + eps)));
  const int first_rotated = (head_dim - rotations.rope_dim) / 2;
  for (int i = lane; i < pairs; i += 32) {
    float2 x = head[i];
    x.x = rb<kOfficial>(x.x * factor);
    x.y = rb<kOfficial>(x.y * factor);
    if (i >= first_rotated) {
      x = rotate<false>(x, rotations.data + r * rotations.rope_dim + 2 * (i - first_rotated));
      x.x = rb<kOfficial>(x.x);
      x.y = rb<kOfficial>(x.y);
    }
    head[i] = x;
  }
}

template <bool kOfficial>
__device__ void transform_index_query(const RowJob& job, int64_t vector, int lane, float* row) {
  const int head_dim = job.head_dim;
  const RotationTable& rotations = job.rotations;
  const int64_t heads = job.x.cols / head_dim;
  const int64_t r = vector / heads;
  float* head = job.x.data + r * job.x.stride + vector % heads * head_dim;
  for (int i = lane; i < head_dim; i += 32) row[i] = head[i];
  __syncwarp();
  warp_rotate<kOfficial>(row + head_dim - rotations.rope_dim, rotations.rope_dim,
                         rotations.data + r * rotations.rope_dim);
  warp_hadamard<kOfficial>(row, head_dim);
  if (kOfficial) warp_q4sim(row, head_dim);
  for (int i = lane; i < head_dim; i += 32) head[i] = row[i];
}

template <bool kOfficial>
__device__ void store_kv_row(const RowJob& job, float eps, int64_t r, int lane, float* row) {
  const int width = static_cast<int>(job.x.cols);
  const RotationTable& rotations = job.rotations;
  const float* in = job.x.data + r * job.x.stride;
  for (int i = lane; i < width; i += 32) row[i] = in[i];
  __syncwarp();
  warp_rms_norm<kOfficial>(row, width, job.weight, eps);
  const int plain = width - rotations.rope_dim;
  warp_rotate<kOfficial>(row + plain, rotations.rope_dim, rotations.data + r * rotations.rope_dim);
  if (kOfficial) warp_q8sim(row, plain);
  float* out = job.out + static_cast<int64_t>(job.dst[r]) * width;
  for (int i = lane; i < width; i += 32) out[i] = row[i];
}

__device__ inline int64_t segments(int64_t width) {
  return (width + kSegment - 1) / kSegment;
}

__device__ inline void store_compressor_segment(const RowJob& job, int64_t vector, int lane) {
  const int64_t width = job.x.cols;
  const int64_t r = vector / segments(width);
  const int64_t first = vector % segments(width) * kSegment;
  float* row = job.out + static_cast<int64_t>(job.dst[r]) * 2 * width;
  const float* ape = job.weight + job.positions[r] % job.ratio * width;
  for (int64_t i = first + lane; i < min(first + kSegment, width); i += 32) {
    row[i] = job.x.data[r * job.x.stride + i];
    row[width + i] = job.g.data[r * job.g.stride + i] + ape[i];
  }
}

// Vector `vector` of the job. `row` holds scratch_floats().
template <bool kOfficial>
__device__ void run_row_job(const RowJob& job, float eps, int64_t vector, int lane, float* row) {
  switch (job.kind) {
    case RowJob::Kind::kQuery:
      norm_query<kOfficial>(job, eps, vector, lane);
      break;
    case RowJob::Kind::kIndexQuery:
      transform_index_query<kOfficial>(job, vector, lane, row);
      break;
    case RowJob::Kind::kStoreKv:
      store_kv_row<kOfficial>(job, eps, vector, lane, row);
      break;
    case RowJob::Kind::kStoreCompressorRows:
      store_compressor_segment(job, vector, lane);
      break;
  }
}

inline int64_t vector_count(const RowJob& job) {
  switch (job.kind) {
    case RowJob::Kind::kQuery:
    case RowJob::Kind::kIndexQuery:
      return job.x.rows * (job.x.cols / job.head_dim);
    case RowJob::Kind::kStoreKv:
      return job.x.rows;
    case RowJob::Kind::kStoreCompressorRows:
      return job.x.rows * ceil_div(job.x.cols, kSegment);
  }
  return 0;
}

inline int scratch_floats(const RowJob& job) {
  if (job.kind == RowJob::Kind::kIndexQuery) return job.head_dim;
  return job.kind == RowJob::Kind::kStoreKv ? static_cast<int>(job.x.cols) : 0;
}

}  // namespace ft::cuda
