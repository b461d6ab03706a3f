// Hyper-connections: a cluster of blocks shares one row of streams, each block a slice of the channels.
//
// The mixes need sums over all n*d values and the norm a sum over all d outputs, so a row costs two exchanges
// through distributed shared memory instead of three kernels. Slices and the order of the exchange depend on
// d alone. The hc_post of the sub-layer before is applied on the way in, which saves a pass over the streams.
#include <cooperative_groups.h>

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

namespace cg = cooperative_groups;

constexpr int kThreads = 256;
constexpr int kCluster = 8;  // blocks of a row: the portable maximum
constexpr int kMixes = (2 + kStreams) * kStreams;

// Channels of one slice: a multiple of 4, so that rows of `fn` are read 16 bytes at a time.
__host__ __device__ constexpr int64_t slice_width(int64_t d) {
  return (d + 4 * kCluster - 1) / (4 * kCluster) * 4;
}

// The streams of one channel after hc_post (docs/spec/model.md 3.2.6).
template <bool kOfficial>
__device__ void mix_streams(float (&x)[kStreams], float out, const float* post, const float* comb) {
  float mixed[kStreams];
  for (int k = 0; k < kStreams; ++k) {
    float sum = post[k] * out;
    for (int j = 0; j < kStreams; ++j) sum += comb[j * kStreams + k] * x[j];
    mixed[k] = rb<kOfficial>(sum);
  }
  for (int k = 0; k < kStreams; ++k) x[k] = mixed[k];
}

template <bool kOfficial>
__global__ void post_kernel(Matrix streams, StreamUpdate update) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t d = update.output.cols;
  const int64_t r = blockIdx.y;
  wait_for_previous();
  if (i >= d) return;
  float* row = streams.data + r * streams.stride;
  float x[kStreams];
  for (int j = 0; j < kStreams; ++j) x[j] = row[j * d + i];
  mix_streams<kOfficial>(x, update.output.data[r * update.output.stride + i],
                         update.post.data + r * update.post.stride,
                         update.comb.data + r * update.comb.stride);
  for (int j = 0; j < kStreams; ++j) row[j * d + i] = x[j];
}

// docs/spec/model.md 3.2.4 on c[j][k].
// One thread holds the matrix: shuffles would cost more than its 16 registers.
__device__ void sinkhorn(float (&c)[kStreams][kStreams], int iterations, float eps) {
#pragma unroll
  for (int j = 0; j < kStreams; ++j) {
    const float largest = fmaxf(fmaxf(c[j][0], c[j][1]), fmaxf(c[j][2], c[j][3]));
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < kStreams; ++k) sum += c[j][k] = expf(c[j][k] - largest);
#pragma unroll
    for (int k = 0; k < kStreams; ++k) c[j][k] = c[j][k] / sum + eps;
  }
  for (int iteration = 0; iteration < iterations; ++iteration) {
    if (iteration > 0) {
#pragma unroll
      for (int j = 0; j < kStreams; ++j) {
        const float factor = __fdividef(1.0f, ((c[j][0] + c[j][1]) + (c[j][2] + c[j][3])) + eps);
#pragma unroll
        for (int k = 0; k < kStreams; ++k) c[j][k] *= factor;
      }
    }
#pragma unroll
    for (int k = 0; k < kStreams; ++k) {
      const float factor = __fdividef(1.0f, ((c[0][k] + c[1][k]) + (c[2][k] + c[3][k])) + eps);
#pragma unroll
      for (int j = 0; j < kStreams; ++j) c[j][k] *= factor;
    }
  }
}

// kHead: the mixes are pre alone, and post and comb are not written.
template <bool kOfficial, bool kHead>
__global__ void __launch_bounds__(kThreads)
    pre_kernel(Matrix streams, StreamUpdate update, HyperConnection hc, Matrix y, Matrix post, Matrix comb) {
  constexpr int kRows = kHead ? kStreams : kMixes;
  auto* const values = dynamic_shared<float>();  // [kStreams][width]
  __shared__ float scratch[32];
  __shared__ float partial[kRows + 1];  // mixes and sum of squares of this slice
  __shared__ float square_sum;          // of this slice's outputs
  __shared__ float total[kRows + 1];
  cg::cluster_group cluster = cg::this_cluster();
  const int rank = static_cast<int>(cluster.block_rank());
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t r = blockIdx.x / kCluster;
  const int64_t d = y.cols;
  const int64_t slice = slice_width(d);
  const int64_t begin = min(rank * slice, d);
  const int width = static_cast<int>(min(slice, d - begin));

  // fn does not depend on earlier kernels: bring this slice near while they finish.
  const int lines = static_cast<int>((slice * 4 + 127) / 128);
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kStreams * lines; i += kThreads) {
    const float* address = hc.fn + (i / lines) * d + begin + i % lines * 32;
    if (begin + i % lines * 32 < d) prefetch_l2(address);
  }
  wait_for_previous();

  float* row = streams.data + r * streams.stride;
  float squares = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kThreads) {
    float x[kStreams];
    for (int j = 0; j < kStreams; ++j) x[j] = row[j * d + begin + i];
    if (update.output.data != nullptr) {
      mix_streams<kOfficial>(x, update.output.data[r * update.output.stride + begin + i],
                             update.post.data + r * update.post.stride,
                             update.comb.data + r * update.comb.stride);
      for (int j = 0; j < kStreams; ++j) row[j * d + begin + i] = x[j];
    }
    for (int j = 0; j < kStreams; ++j) {
      values[j * slice + i] = x[j];
      squares += x[j] * x[j];
    }
  }
  squares = block_sum(squares, scratch);  // its barrier also publishes `values`
  if (threadIdx.x == 0) partial[kRows] = squares;

  for (int z = warp; z < kRows; z += kThreads / 32) {
    float sum = 0.0f;
    for (int j = 0; j < kStreams; ++j) {
      const float4* weights =
          reinterpret_cast<const float4*>(hc.fn + (static_cast<int64_t>(z) * kStreams + j) * d + begin);
      const float4* x = reinterpret_cast<const float4*>(values + j * slice);
#pragma unroll 4
      for (int i = lane; i < width / 4; i += 32) {
        const float4 a = __ldg(weights + i);
        const float4 b = x[i];
        sum += (a.x * b.x + a.y * b.y) + (a.z * b.z + a.w * b.w);
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) partial[z] = sum;
  }
  cluster.sync();
  if (threadIdx.x <= kRows) {
    float sum = 0.0f;
    for (int other = 0; other < kCluster; ++other)
      sum += cluster.map_shared_rank(partial, other)[threadIdx.x];
    total[threadIdx.x] = sum;
  }
  __syncthreads();

  const float rho = 1.0f / sqrtf(total[kRows] / static_cast<float>(kStreams * d) + hc.norm_eps);
  const auto affine = [&](int i, int part) { return total[i] * rho * hc.scale[part] + hc.base[i]; };
  if (!kHead && rank == 0) {
    if (threadIdx.x < kStreams) {
      const int i = static_cast<int>(threadIdx.x);
      post.data[r * post.stride + i] = 2.0f * sigmoid(affine(kStreams + i, 1));
    }
    if (threadIdx.x == kThreads - 1) {  // in another warp than the post, while the rest go on
      float c[kStreams][kStreams];
#pragma unroll
      for (int i = 0; i < kStreams * kStreams; ++i)
        c[i / kStreams][i % kStreams] = affine(2 * kStreams + i, 2);
      sinkhorn(c, hc.sinkhorn_iterations, hc.hc_eps);
#pragma unroll
      for (int i = 0; i < kStreams * kStreams; ++i)
        comb.data[r * comb.stride + i] = c[i / kStreams][i % kStreams];
    }
  }
  float pre[kStreams];
  for (int i = 0; i < kStreams; ++i) pre[i] = sigmoid(affine(i, 0)) + hc.hc_eps;

  float* out = y.data + r * y.stride + begin;
  squares = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kThreads) {
    float sum = 0.0f;
    for (int j = 0; j < kStreams; ++j) sum += pre[j] * values[j * slice + i];
    sum = rb<kOfficial>(sum);
    if (hc.norm == nullptr) {
      out[i] = sum;
    } else {
      values[i] = sum;  // only this thread reads column i again
      squares += sum * sum;
    }
  }
  if (hc.norm != nullptr) {
    __syncthreads();  // scratch is free again
    squares = block_sum(squares, scratch);
    if (threadIdx.x == 0) square_sum = squares;
    cluster.sync();
    float sum = 0.0f;
    for (int other = 0; other < kCluster; ++other) sum += *cluster.map_shared_rank(&square_sum, other);
    const float factor = 1.0f / sqrtf(sum / static_cast<float>(d) + hc.norm_eps);
    for (int i = static_cast<int>(threadIdx.x); i < width; i += kThreads) {
      out[i] = rb<kOfficial>(values[i] * factor * hc.norm[begin + i]);
    }
  }
  cluster.sync();  // nobody leaves while its shared memory is still read
}

template <bool kHead>
void launch_rows(Queue queue, bool official, Matrix streams, const StreamUpdate& update,
                 const HyperConnection& hc, Matrix y, Matrix post, Matrix comb) {
  const size_t bytes = static_cast<size_t>(kStreams * slice_width(y.cols)) * sizeof(float);
  launch(queue, official ? pre_kernel<true, kHead> : pre_kernel<false, kHead>,
         dim3(static_cast<unsigned>(streams.rows) * kCluster), kThreads, bytes, kCluster, streams, update, hc,
         y, post, comb);
}

}  // namespace

void hc_post(Queue queue, bool official, Matrix streams, const StreamUpdate& update) {
  launch(queue, official ? post_kernel<true> : post_kernel<false>,
         dim3(ceil_div(update.output.cols, kThreads), static_cast<unsigned>(streams.rows)), kThreads, 0, 1,
         streams, update);
}

void hc_pre(Queue queue, bool official, Matrix streams, const StreamUpdate& update, const HyperConnection& hc,
            Matrix y, Matrix post, Matrix comb) {
  launch_rows<false>(queue, official, streams, update, hc, y, post, comb);
}

void hc_head(Queue queue, bool official, Matrix streams, const HyperConnection& hc, Matrix y) {
  launch_rows<true>(queue, official, streams, StreamUpdate(), hc, y, Matrix(), Matrix());
}

}  // namespace ft::cuda
