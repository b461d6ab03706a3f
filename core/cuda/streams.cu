// Copies of rows and the element-wise ops on residual streams.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;

// One block per row; Word divides row_bytes and every address.
template <class Word>
__global__ void copy_rows_kernel(Word* destination, const Word* source, int64_t words, const int32_t* src,
                                 const int32_t* dst) {
  wait_for_previous();
  const Word* from = source + src[blockIdx.x] * words;
  Word* to = destination + dst[blockIdx.x] * words;
  for (int64_t i = threadIdx.x; i < words; i += blockDim.x) to[i] = from[i];
}

template <bool kBf16>
__global__ void gather_kernel(const int32_t* ids, const void* table, int64_t width, int copies, Matrix out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  wait_for_previous();
  if (i >= width) return;
  const int64_t at = ids[blockIdx.y] * width + i;
  const float value =
      kBf16 ? bf16_to_f32(static_cast<const uint16_t*>(table)[at]) : static_cast<const float*>(table)[at];
  for (int s = 0; s < copies; ++s) out.data[blockIdx.y * out.stride + s * width + i] = value;
}

template <bool kOfficial>
__global__ void mean_kernel(Matrix streams, int stream_count, Matrix out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  wait_for_previous();
  if (i >= out.cols) return;
  const float* row = streams.data + blockIdx.y * streams.stride;
  float sum = 0.0f;
  for (int s = 0; s < stream_count; ++s) sum += row[s * out.cols + i];
  out.data[blockIdx.y * out.stride + i] = rb<kOfficial>(sum / static_cast<float>(stream_count));
}

template <bool kOfficial>
__global__ void combine_kernel(Matrix e, Matrix h, Matrix streams) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  wait_for_previous();
  if (i >= streams.cols) return;
  const float sum = e.data[blockIdx.y * e.stride + i % e.cols] + h.data[blockIdx.y * h.stride + i];
  streams.data[blockIdx.y * streams.stride + i] = rb<kOfficial>(sum);
}

dim3 columns_by_rows(int64_t cols, int64_t rows) {
  return dim3(ceil_div(cols, kThreads), static_cast<unsigned>(rows));
}

}  // namespace

void copy_rows(Queue queue, void* destination, const void* source, int64_t row_bytes, const int32_t* src,
               const int32_t* dst, int64_t count) {
  const auto bits = reinterpret_cast<uintptr_t>(destination) | reinterpret_cast<uintptr_t>(source) |
                    static_cast<uintptr_t>(row_bytes);
  const dim3 grid(static_cast<unsigned>(count));
  if (bits % 16 == 0) {
    launch(queue, copy_rows_kernel<uint4>, grid, kThreads, 0, 1, static_cast<uint4*>(destination),
           static_cast<const uint4*>(source), row_bytes / 16, src, dst);
  } else if (bits % 4 == 0) {
    launch(queue, copy_rows_kernel<uint32_t>, grid, kThreads, 0, 1, static_cast<uint32_t*>(destination),
           static_cast<const uint32_t*>(source), row_bytes / 4, src, dst);
  } else {
    launch(queue, copy_rows_kernel<uint8_t>, grid, kThreads, 0, 1, static_cast<uint8_t*>(destination),
           static_cast<const uint8_t*>(source), row_bytes, src, dst);
  }
}

void gather_rows(Queue queue, const int32_t* ids, const Weight& table, int copies, Matrix out) {
  const auto kernel = table.format == WeightFormat::kBF16 ? gather_kernel<true> : gather_kernel<false>;
  launch(queue, kernel, columns_by_rows(table.cols, out.rows), kThreads, 0, 1, ids, table.data, table.cols,
         copies, out);
}

void stream_mean(Queue queue, bool official, Matrix streams, int stream_count, Matrix out) {
  launch(queue, official ? mean_kernel<true> : mean_kernel<false>, columns_by_rows(out.cols, out.rows),
         kThreads, 0, 1, streams, stream_count, out);
}

void combine_streams(Queue queue, bool official, Matrix e, Matrix h, Matrix streams) {
  launch(queue, official ? combine_kernel<true> : combine_kernel<false>,
         columns_by_rows(streams.cols, streams.rows), kThreads, 0, 1, e, h, streams);
}

}  // namespace ft::cuda
