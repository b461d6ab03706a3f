// Mixture of experts by tensor core:
// rows are sorted by expert on the device, each activated expert is read once.
//
// Four launches: prepare (sort; the input as units), gate and up with the clamped SwiGLU, down, combine. Of few rows
// the first also routes (moe_gate.cu), and down also combines.
// A block has a few rows of one expert's weight and up to eight of its rows of x at a time;
// further rows find the weight in L2. In down a warp has a shard of the columns, so a sum never leaves it.
#include <algorithm>

#include "core/cuda/device_math.cuh"
#include "core/cuda/kernels.h"
#include "core/cuda/last_block.cuh"
#include "core/cuda/moe_layout.h"
#include "core/cuda/moe_parts.cuh"
#include "core/cuda/weight_tiles.cuh"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kPlanThreads = 1024;
constexpr int kDownTiles = 2;                // per warp
constexpr size_t kUnitBytesMax = 72 * 1024;  // three blocks of a multiprocessor hold their units

// Block 0 plans; the others make units, a thread each.
__global__ void __launch_bounds__(kPlanThreads)
    prepare_kernel(const int32_t* ids, int pairs, int experts, MoePlan plan, ExpertInput input) {
  auto* const counts = dynamic_shared<int32_t>();
  wait_for_previous();
  if (blockIdx.x == 0) {
    plan_pairs(ids, pairs, experts, plan, counts);
  } else {
    make_expert_unit(input, static_cast<int64_t>(blockIdx.x - 1) * kPlanThreads + threadIdx.x);
  }
}

// What blockIdx.y stands for: 0 the shared expert with every row, i > 0 the i-th expert that has rows.
struct Work {
  int expert = 0;  // index in the table
  int count = 0;   // rows
  const int32_t* pairs = nullptr;
  int first_pair = 0;  // if pairs is null
  __device__ int pair(int i) const { return pairs != nullptr ? pairs[i] : first_pair + i; }
};

__device__ Work find_work(const MoePlan& plan, const ExpertTable& table, int m, int k) {
  Work work;
  if (blockIdx.y == 0) {
    work.expert = table.count;
    work.count = m;
    work.first_pair = m * k;
  } else if (static_cast<int>(blockIdx.y) <= *plan.active) {
    const int slot = static_cast<int>(blockIdx.y) - 1;
    work.expert = plan.expert[slot];
    work.count = plan.count[slot];
    work.pairs = plan.pair + plan.offset[slot];
  }
  return work;
}

struct GateUpArgs {
  ExpertTable table;
  MoePlan plan;
  const uint4* routed_units;  // [m, d/8]
  const uint4* shared_units;
  const float* weights;   // [m*k]
  __nv_bfloat16* hidden;  // [m*k + m, inner]
  int m;
  int k;
  int pass_rows;
  float limit;
};

template <WeightFormat kFormat>
__device__ void gate_up_block(const GateUpArgs& args, const Work& work, uint4* units, float* partial) {
  const ExpertTable::Expert expert = args.table.experts[work.expert];
  const int d = args.table.width;
  const int inner = args.table.inner;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int chunks = chunk_count(d);
  const int tiles = kWarps / chunks;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * tiles * kTileRows;
  const int64_t begin = min(warp % chunks * chunk_columns(d), static_cast<int64_t>(d));
  const int64_t end = min(begin + chunk_columns(d), static_cast<int64_t>(d));
  const int64_t warp_row = first_row + warp / chunks * kTileRows;
  const int row_units = d / 8;
  const int stride = unit_stride(d);
  const bool routed = work.pairs != nullptr;
  const uint4* x = routed ? args.routed_units : args.shared_units;
  constexpr int kPart = kTileRows * kTileColumns;

  for (int first = 0; first < work.count; first += args.pass_rows) {
    const int n = min(args.pass_rows, work.count - first);
    WeightStream<kFormat, 1, 4> gate;
    WeightStream<kFormat, 1, 4> up;
    gate.start(expert.data[0], expert.scale[0], inner, d, warp_row, begin, end);
    up.start(expert.data[1], expert.scale[1], inner, d, warp_row, begin, end);
    for (int r = 0; r < n; ++r) {
      const int64_t row = routed ? work.pair(first + r) / args.k : first + r;
      for (int i = static_cast<int>(threadIdx.x); i < row_units; i += kThreads) {
        units[r * stride + i] = x[row * row_units + i];
      }
    }
    __syncthreads();
    const uint4* from = units + min(lane / 4, n - 1) * stride + begin / 8 + lane % 4;
    float gates[1][1][4] = {};
    float ups[1][1][4] = {};
    gate.multiply(from, 0, gates);
    up.multiply(from, 0, ups);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = (lane % 4 * 2 + i % 2) * kTileRows + lane / 4 + i / 2 * 8;
      partial[warp * kPart + at] = gates[0][0][i];
      partial[(kWarps + warp) * kPart + at] = ups[0][0][i];
    }
    __syncthreads();
    const int block_rows = tiles * kTileRows;
    for (int i = static_cast<int>(threadIdx.x); i < block_rows * n; i += kThreads) {
      const int row = i % block_rows;
      const int r = i / block_rows;
      if (first_row + row >= inner) continue;
      const float* tile = partial + row / kTileRows * chunks * kPart + r * kTileRows + row % kTileRows;
      float g = tile[0];
      float u = tile[kWarps * kPart];
      for (int c = 1; c < chunks; ++c) {
        g += tile[c * kPart];
        u += tile[(kWarps + c) * kPart];
      }
      g = fminf(rb(g * out_factor<kFormat>()), args.limit);
      u = fminf(fmaxf(rb(u * out_factor<kFormat>()), -args.limit), args.limit);
      const int pair = work.pair(first + r);
      const float weight = routed ? args.weights[pair] : 1.0f;
      args.hidden[static_cast<int64_t>(pair) * inner + first_row + row] =
          __float2bfloat16_rn(weight * (g * sigmoid(g)) * u);
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads, 2) gate_up_kernel(const __grid_constant__ GateUpArgs args) {
  auto* const units = dynamic_shared<uint4>();
  __shared__ float partial[2 * kWarps * kTileRows * kTileColumns];
  wait_for_previous();
  const Work work = find_work(args.plan, args.table, args.m, args.k);
  if (work.count == 0) return;
  switch (blockIdx.y == 0 ? args.table.shared_format : args.table.routed_format) {
    case WeightFormat::kFp8Block:
      gate_up_block<WeightFormat::kFp8Block>(args, work, units, partial);
      break;
    case WeightFormat::kFp4Row:
      gate_up_block<WeightFormat::kFp4Row>(args, work, units, partial);
      break;
    default:
      gate_up_block<WeightFormat::kBF16>(args, work, units, partial);
      break;
  }
}

struct DownArgs {
  ExpertTable table;
  MoePlan plan;
  const __nv_bfloat16* hidden;  // [m*k + m, inner]
  float* out;                   // [m*k + m, shards, d]
  int m;
  int k;
  int pass_rows;
  const int32_t* ids;  // [m*k]
  ExpertSum sum;       // no tickets: it is left to another kernel
};

// The sum of the experts for the columns of this block's tile, by the last block that has some of them.
__device__ void add_experts(const DownArgs& args) {
  __shared__ int order[kFewRows * 32];
  if (!is_last_block(args.sum.tickets + blockIdx.x, static_cast<int32_t>(gridDim.y))) return;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < args.m * args.k)
    sort_slot(args.ids + thread / args.k * args.k, args.k, thread % args.k, order + thread / args.k * 32);
  __syncthreads();
  const int width = kWarps / args.table.parts.count * kDownTiles * kTileRows;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * width;
  for (int i = thread; i < args.m * width; i += kThreads) {
    const int r = i / width;
    const int64_t column = first + i % width;
    if (column >= args.table.width) continue;
    const float sum = combine_experts(args.out, order + r * 32, args.m, args.k, args.table.parts.count,
                                      args.table.width, r, column);
    args.sum.y.data[r * args.sum.y.stride + column] = args.sum.round ? rb(sum) : sum;
  }
}

template <WeightFormat kFormat>
__device__ void down_block(const DownArgs& args, const Work& work, uint4* units) {
  const ExpertTable::Expert expert = args.table.experts[work.expert];
  const ColumnParts& parts = args.table.parts;
  const int d = args.table.width;
  const int inner = args.table.inner;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int part = warp % parts.count;
  const int64_t first_row = (static_cast<int64_t>(blockIdx.x) * (kWarps / parts.count) + warp / parts.count) *
                            kDownTiles * kTileRows;
  const int64_t begin = parts.at[part];
  const int64_t end = parts.at[part + 1];
  const int row_units = inner / 8;
  const int stride = unit_stride(inner);

  for (int first = 0; first < work.count; first += args.pass_rows) {
    const int n = min(args.pass_rows, work.count - first);
    WeightStream<kFormat, kDownTiles, 2> stream;
    stream.start(expert.data[2], expert.scale[2], d, inner, first_row, begin, end);
    for (int at = warp * 32; at < n * row_units; at += kThreads) {
      const int i = min(at + lane, n * row_units - 1);
      const int r = i / row_units;
      const uint4* row =
          reinterpret_cast<const uint4*>(args.hidden + static_cast<int64_t>(work.pair(first + r)) * inner);
      const uint4 packed = row[i % row_units];
      const float2 a = unpack_bf16(packed.x);
      const float2 b = unpack_bf16(packed.y);
      const float2 c = unpack_bf16(packed.z);
      const float2 e = unpack_bf16(packed.w);
      float values[8] = {a.x, a.y, b.x, b.y, c.x, c.y, e.x, e.y};
      const uint4 unit = make_unit<kFormat>(values, is_quantized(kFormat));
      if (at + lane < n * row_units) units[r * stride + unit_place<kFormat>(i % row_units)] = unit;
    }
    __syncthreads();
    float sums[kDownTiles][1][4] = {};
    stream.multiply(units + min(lane / 4, n - 1) * stride + begin / 8 + lane % 4, 0, sums);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = lane % 4 * 2 + i % 2;
      if (r >= n) continue;
      float* out = args.out + (static_cast<int64_t>(work.pair(first + r)) * parts.count + part) * d;
#pragma unroll
      for (int tile = 0; tile < kDownTiles; ++tile) {
        const int64_t row = first_row + tile * kTileRows + lane / 4 + i / 2 * 8;
        if (row < d) out[row] = sums[tile][0][i] * out_factor<kFormat>();
      }
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads, 2) down_kernel(const __grid_constant__ DownArgs args) {
  auto* const units = dynamic_shared<uint4>();
  wait_for_previous();
  const Work work = find_work(args.plan, args.table, args.m, args.k);
  if (work.count > 0) {
    switch (blockIdx.y == 0 ? args.table.shared_format : args.table.routed_format) {
      case WeightFormat::kFp8Block:
        down_block<WeightFormat::kFp8Block>(args, work, units);
        break;
      case WeightFormat::kFp4Row:
        down_block<WeightFormat::kFp4Row>(args, work, units);
        break;
      default:
        down_block<WeightFormat::kBF16>(args, work, units);
        break;
    }
  }
  if (args.sum.tickets != nullptr) add_experts(args);
}

// Rows of activations that a block takes at a time.
int pass_rows(int64_t m, int64_t columns) {
  int64_t rows = std::min<int64_t>(m, kTileColumns);
  while (rows > 1 && static_cast<size_t>(rows * unit_stride(columns)) * sizeof(uint4) > kUnitBytesMax)
    rows = (rows + 1) / 2;
  return static_cast<int>(rows);
}

bool tiled(WeightFormat format) {
  return format != WeightFormat::kF32;
}

}  // namespace

bool moe_fits_tiles(const ExpertTable& table) {
  return tiled(table.routed_format) && tiled(table.shared_format) && table.width % 128 == 0 &&
         table.whole_inner % 128 == 0 && table.parts.widest <= kChainColumnsMax;
}

bool moe_tiled(Queue queue, Matrix x, const ExpertTable& table, const int32_t* ids, const float* weights,
               int k, float swiglu_limit, const MoeScratch& scratch, const ExpertSum& sum,
               const Router* router) {
  const int m = static_cast<int>(x.rows);
  const int pairs = m * k;
  if (router != nullptr) {
    launch_router(queue, *router, table, scratch, sum.tickets);
  } else {
    launch(queue, prepare_kernel, dim3(1 + ceil_div(x.rows * x.cols / 8, kPlanThreads)), kPlanThreads,
           static_cast<size_t>(table.count) * sizeof(int32_t), 1, ids, pairs, table.count, scratch.plan,
           expert_input(x, table, scratch));
  }
  const unsigned slots = static_cast<unsigned>(1 + std::min(pairs, table.count));
  const auto bytes = [&](int64_t columns) {
    return static_cast<size_t>(pass_rows(m, columns) * unit_stride(columns)) * sizeof(uint4);
  };
  GateUpArgs gate_up = {table,
                        scratch.plan,
                        static_cast<const uint4*>(scratch.routed_input),
                        static_cast<const uint4*>(scratch.shared_input),
                        weights,
                        static_cast<__nv_bfloat16*>(scratch.hidden),
                        m,
                        k,
                        pass_rows(m, table.width),
                        swiglu_limit};
  const unsigned gate_up_tiles = ceil_div(table.inner, kWarps / chunk_count(table.width) * kTileRows);
  launch(queue, gate_up_kernel, dim3(gate_up_tiles, slots), kThreads, bytes(table.width), 1, gate_up);
  DownArgs down = {table,
                   scratch.plan,
                   static_cast<const __nv_bfloat16*>(scratch.hidden),
                   scratch.out,
                   m,
                   k,
                   pass_rows(m, table.inner),
                   ids,
                   sum};
  const unsigned down_tiles = ceil_div(table.width, kWarps / table.parts.count * kDownTiles * kTileRows);
  if (m > kFewRows || pairs > kThreads || down_tiles > kTickets) down.sum.tickets = nullptr;
  launch(queue, down_kernel, dim3(down_tiles, slots), kThreads, bytes(table.inner), 1, down);
  return down.sum.tickets != nullptr;
}

}  // namespace ft::cuda
