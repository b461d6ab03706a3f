// What a matrix library multiplies (gemm_library.h), made of activations and weights, and what becomes of its result.
#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A row's 128 columns of a warp: four a lane. Rows beyond the end are zeros.
struct Group {
  int64_t row;
  int64_t group;
  float values[4];
  float largest;

  __device__ Group(const Matrix& x, int64_t index) {
    const int64_t groups = x.cols / kQ8Group;
    row = index / groups;
    group = index % groups;
    float4 read = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (row < x.rows) read = *reinterpret_cast<const float4*>(x.data + row * x.stride + column());
    values[0] = read.x;
    values[1] = read.y;
    values[2] = read.z;
    values[3] = read.w;
    largest = fmaxf(fmaxf(fabsf(read.x), fabsf(read.y)), fmaxf(fabsf(read.z), fabsf(read.w)));
    largest = warp_max(largest);
  }
  __device__ int64_t column() const { return group * kQ8Group + threadIdx.x % 32 * 4; }
};

// The index of this warp among all, which is `count` or more for those of the last block that have nothing to do.
__device__ int64_t warp_index() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
}

__global__ void __launch_bounds__(kThreads)
    quantize_kernel(Matrix x, int64_t rows, uint8_t* codes, float* scales) {
  wait_for_previous();
  const int64_t index = warp_index();
  if (index >= rows * (x.cols / kQ8Group)) return;
  const Group group(x, index);
  const int exponent = q8_exponent(group.largest);
  const float factor = exp2_int(-exponent);
  uint32_t packed = 0;
  for (int i = 0; i < 4; ++i) {
    const __nv_fp8_storage_t code =
        __nv_cvt_float_to_fp8(group.values[i] * factor, __NV_SATFINITE, __NV_E4M3);
    packed |= static_cast<uint32_t>(code) << (8 * i);
  }
  *reinterpret_cast<uint32_t*>(codes + group.row * x.cols + group.column()) = packed;
  if (threadIdx.x % 32 == 0) scales[group.group * rows + group.row] = exp2_int(exponent);
}

__global__ void __launch_bounds__(kThreads)
    round_kernel(Matrix x, int64_t rows, bool quantize, __nv_bfloat16* values) {
  wait_for_previous();
  const int64_t index = warp_index();
  if (index >= rows * (x.cols / kQ8Group)) return;
  Group group(x, index);
  if (quantize) {
    const int exponent = q8_exponent(group.largest);
    for (float& value : group.values) value = q8_round(value, exponent);
  }
  *reinterpret_cast<uint2*>(values + group.row * x.cols + group.column()) =
      make_uint2(pack_bf16(group.values[0], group.values[1]), pack_bf16(group.values[2], group.values[3]));
}

__global__ void __launch_bounds__(kThreads) widen_scales_kernel(const uint8_t* scale, int64_t block_rows,
                                                                int64_t blocks, int64_t stride, float* out) {
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= block_rows * stride) return;
  const int64_t block = i % stride;
  out[i] = block < blocks ? e8m0_to_f32(scale[i / stride * blocks + block]) : 0.0f;
}

// 16 codes a thread.
__global__ void __launch_bounds__(kThreads)
    widen_weight_kernel(Weight weight, int64_t first_row, int64_t rows, uint4* out) {
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t units = weight.cols / 16;
  if (i >= rows * units) return;
  const int64_t row = first_row + i / units;
  const int64_t block = i % units / 8;
  const float scale = e8m0_to_f32(weight.scale[row / 128 * (weight.cols / 128) + block]);
  const uint4 codes =
      load_weight(static_cast<const uint8_t*>(weight.data) + first_row * weight.cols + i * 16);
  const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
  uint32_t pairs[8];
  for (int pair = 0; pair < 8; ++pair) {
    const auto two = static_cast<__nv_fp8x2_storage_t>(words[pair / 2] >> (pair % 2 * 16) & 0xffffu);
    const __half2_raw half = __nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3);
    const float2 value = __half22float2(__half2(half));
    pairs[pair] = pack_bf16(value.x * scale, value.y * scale);
  }
  out[i * 2] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
  out[i * 2 + 1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
}

// blockIdx: columns, row.
__global__ void __launch_bounds__(kThreads)
    store_product_kernel(const float* product, int64_t stride, bool round, Matrix y, int64_t cols) {
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= cols) return;
  const float value = product[blockIdx.y * stride + i];
  y.data[blockIdx.y * y.stride + i] = round ? rb(value) : value;
}

}  // namespace

void quantize_operand(Queue queue, Matrix x, int64_t rows, uint8_t* codes, float* scales) {
  launch(queue, quantize_kernel, dim3(ceil_div(rows * (x.cols / kQ8Group), kWarps)), kThreads, 0, 1, x, rows,
         codes, scales);
}

void round_operand(Queue queue, Matrix x, int64_t rows, bool quantize, void* values) {
  launch(queue, round_kernel, dim3(ceil_div(rows * (x.cols / kQ8Group), kWarps)), kThreads, 0, 1, x, rows,
         quantize, static_cast<__nv_bfloat16*>(values));
}

void widen_scales(Queue queue, const Weight& weight, int64_t stride, float* scales) {
  const int64_t block_rows = ceil_div(weight.rows, 128);
  launch(queue, widen_scales_kernel, dim3(ceil_div(block_rows * stride, kThreads)), kThreads, 0, 1,
         weight.scale, block_rows, weight.cols / 128, stride, scales);
}

void widen_weight(Queue queue, const Weight& weight, int64_t first_row, int64_t rows, void* values) {
  launch(queue, widen_weight_kernel, dim3(ceil_div(rows * (weight.cols / 16), kThreads)), kThreads, 0, 1,
         weight, first_row, rows, static_cast<uint4*>(values));
}

void store_product(Queue queue, const float* product, int64_t stride, bool round, Matrix y) {
  launch(queue, store_product_kernel, dim3(ceil_div(stride, kThreads), static_cast<unsigned>(y.rows)),
         kThreads, 0, 1, product, stride, round, y, stride);
}

}  // namespace ft::cuda
