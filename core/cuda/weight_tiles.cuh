// Weight rows as the 16-row side of bf16 tensor-core tiles: loads, decoding and the product loop of one warp.
//
// Every operand of the official numerics is a bf16 number: q8() values have 4 significant bits, fp8 and fp4
// weights times their power-of-two scales too. So there is one product for all formats: weights are decoded
// to bf16 in registers and multiplied exactly, sums are float32.
//
// Columns. The order in which a tile takes the columns of K is free as long as both sides agree, so each lane
// takes 16 consecutive bytes of a weight row: lane 4g+t of a step covers bytes [16t, 16t+16) of the 64 of
// rows g and g+8. The other side ("units") is stored in the order in which the decoding below yields columns.
//
// K is cut into chunk_count(K) chunks; a chunk is one chain of sums, the chunks are added in ascending order.
// Both depend on K alone: this is what makes a row's bits independent of the number of rows. Where K is cut into
// shards (core/shards.h), a shard is one chain, and the shards are added as a tree.
//
// Scales. 2^(b-127) may be any of 254 values and the unscaled codes are subnormal bf16 numbers (below), so
// the factor applied to a weight is 2^(b-127) * 2^(exponent of the code format) * 2^-60, which is in range
// for scales up to 2^66 (saturated there), and sums are multiplied by 2^60 at the end.
#pragma once

#include "core/cuda/device_math.cuh"
#include "core/tensor.h"

namespace ft::cuda {

inline constexpr int kTileRows = 16;       // weight rows of a tile
inline constexpr int kTileColumns = 8;     // activation rows of a tile
inline constexpr int kStepBytes = 64;      // of a weight row
inline constexpr int kChunkColumns = 512;  // of K, at least; a warp reads 16 rows of it
inline constexpr int kChunkMax = 8;
inline constexpr int kChainColumnsMax =
    4096;  // of a chain of sums: a lane of a warp holds the fp8 scale of 128
inline constexpr float kScaleOut = 1152921504606846976.0f;  // 2^60

// Chunks that K columns are cut into: 1, 2, 4 or 8.
__host__ __device__ constexpr int chunk_count(int64_t k) {
  int count = 1;
  while (count < kChunkMax && count * 2 * kChunkColumns <= k) count *= 2;
  return count;
}

// Columns of every chunk but the last, a multiple of 128. K is a multiple of 128.
__host__ __device__ constexpr int64_t chunk_columns(int64_t k) {
  const int64_t count = chunk_count(k);
  return (k / 128 + count - 1) / count * 128;
}

template <WeightFormat kFormat>
struct Tile;

// Bytes e4m3 -> bf16 whose exponent field holds the 4 exponent bits: code * 2^-120, subnormals included.
template <>
struct Tile<WeightFormat::kFp8Block> {
  static constexpr int kStepColumns = 64;
  static constexpr int kUnits = 2;  // of 8 columns, per lane and step
  static constexpr int kExponent = 60;
  // Columns 0..7 of a unit in the order of the operand registers.
  __device__ static uint4 arrange(const float (&x)[8]) {
    return make_uint4(pack_bf16(x[0], x[2]), pack_bf16(x[1], x[3]), pack_bf16(x[4], x[6]),
                      pack_bf16(x[5], x[7]));
  }
  // Registers a0, a2 of the two products of unit `unit`.
  __device__ static void decode(const uint4& bytes, int unit, __nv_bfloat162 factor, uint32_t (&a)[4]) {
    const uint32_t low = unit == 0 ? bytes.x : bytes.z;
    const uint32_t high = unit == 0 ? bytes.y : bytes.w;
    decode_word(low, factor, a[0], a[1]);
    decode_word(high, factor, a[2], a[3]);
  }

 private:
  __device__ static void decode_word(uint32_t w, __nv_bfloat162 factor, uint32_t& even, uint32_t& odd) {
    const uint32_t e = ((w << 8) & 0x80008000u) | ((w << 4) & 0x07f007f0u);
    const uint32_t o = (w & 0x80008000u) | ((w >> 4) & 0x07f007f0u);
    even = scaled(e, factor);
    odd = scaled(o, factor);
  }

 public:
  __device__ static uint32_t scaled(uint32_t pair, __nv_bfloat162 factor) {
    const __nv_bfloat162 product = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&pair), factor);
    return *reinterpret_cast<const uint32_t*>(&product);
  }
};

// Nibbles e2m1 -> bf16 in the same way: code * 2^-126.
template <>
struct Tile<WeightFormat::kFp4Row> {
  static constexpr int kStepColumns = 128;
  static constexpr int kUnits = 4;
  static constexpr int kExponent = 66;
  __device__ static uint4 arrange(const float (&x)[8]) {
    return make_uint4(pack_bf16(x[0], x[4]), pack_bf16(x[1], x[5]), pack_bf16(x[2], x[6]),
                      pack_bf16(x[3], x[7]));
  }
  __device__ static void decode(const uint4& bytes, int unit, __nv_bfloat162 factor, uint32_t (&a)[4]) {
    const uint32_t w = unit == 0 ? bytes.x : unit == 1 ? bytes.y : unit == 2 ? bytes.z : bytes.w;
    using Fp8 = Tile<WeightFormat::kFp8Block>;
    a[0] = Fp8::scaled(((w << 12) & 0x80008000u) | ((w << 6) & 0x01c001c0u), factor);
    a[1] = Fp8::scaled(((w << 8) & 0x80008000u) | ((w << 2) & 0x01c001c0u), factor);
    a[2] = Fp8::scaled(((w << 4) & 0x80008000u) | ((w >> 2) & 0x01c001c0u), factor);
    a[3] = Fp8::scaled((w & 0x80008000u) | ((w >> 6) & 0x01c001c0u), factor);
  }
};

template <>
struct Tile<WeightFormat::kBF16> {
  static constexpr int kStepColumns = 32;
  static constexpr int kUnits = 1;
  static constexpr int kExponent = 0;
  __device__ static uint4 arrange(const float (&x)[8]) {
    return make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]),
                      pack_bf16(x[6], x[7]));
  }
  __device__ static void decode(const uint4& bytes, int, __nv_bfloat162, uint32_t (&a)[4]) {
    a[0] = bytes.x;
    a[1] = bytes.y;
    a[2] = bytes.z;
    a[3] = bytes.w;
  }
};

// Where unit `index` (columns 8*index..8*index+7) of a row of activations is stored among the row's units:
// lanes that read together find theirs side by side.
template <WeightFormat kFormat>
__device__ __forceinline__ int unit_place(int index) {
  constexpr int kUnits = Tile<kFormat>::kUnits;
  const int step = index / (4 * kUnits);
  const int lane = index / kUnits % 4;
  return step * 4 * kUnits + index % kUnits * 4 + lane;
}

// Units from one row of activations in shared memory to the next:
// 64 bytes off a multiple of 128, against bank conflicts.
__host__ __device__ constexpr int unit_stride(int64_t columns) {
  return static_cast<int>(columns / 8) + 4;
}

// bf16 pair of 2^(byte-127+exponent), saturated; NaN for the NaN byte.
__device__ __forceinline__ __nv_bfloat162 scale_factor(uint32_t byte, int exponent) {
  const uint32_t field = min(byte + static_cast<uint32_t>(exponent), 254u);
  const uint32_t bits = byte == 255u ? 0x7fc0u : field << 7;
  const uint32_t pair = bits | bits << 16;
  return *reinterpret_cast<const __nv_bfloat162*>(&pair);
}

// One warp's share of a weight: kTiles tiles of 16 rows over one chunk of K, loaded kAhead steps ahead.
template <WeightFormat kFormat, int kTiles, int kAhead>
struct WeightStream {
  using Format = Tile<kFormat>;
  static constexpr bool kFp4 = kFormat == WeightFormat::kFp4Row;
  static constexpr bool kFp8 = kFormat == WeightFormat::kFp8Block;

  const uint8_t* bytes;              // of the weight
  const uint8_t* row_scales;         // fp4
  uint32_t offset[kTiles][2];        // of this lane's bytes of rows g and g+8 at the start of the chunk
  uint32_t scale_offset[kTiles][2];  // fp4: of the rows' scales at the start of the chunk
  uint32_t block_scale[kTiles];      // fp8: lane i holds the scale of columns [128i, 128i+128) of the chunk
  int steps;
  uint4 data[kAhead][kTiles][2];
  uint32_t scale_word[kAhead][kTiles][2];

  // Rows first_row.. of a weight with `rows` rows (beyond the end the last row is read; its results are not
  // used), columns [begin, end). Starts the first loads.
  __device__ void start(const uint8_t* weight, const uint8_t* scale, int64_t rows, int64_t columns,
                        int64_t first_row, int64_t begin, int64_t end) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    bytes = weight;
    row_scales = scale;
    steps = static_cast<int>((end - begin) / Format::kStepColumns);
    const int64_t row_bytes = columns / Format::kStepColumns * kStepBytes;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t row = min(first_row + tile * kTileRows + half * 8 + lane / 4, rows - 1);
        offset[tile][half] = static_cast<uint32_t>(row * row_bytes +
                                                   begin / Format::kStepColumns * kStepBytes + lane % 4 * 16);
        scale_offset[tile][half] = kFp4 ? static_cast<uint32_t>(row * (columns / 32) + begin / 32) : 0;
      }
      block_scale[tile] = 0;
      if (kFp8) {
        const int64_t block_row = min(first_row + tile * kTileRows, rows - 1) / 128;
        const int64_t column = begin / 128 + lane;
        if (column * 128 < end) block_scale[tile] = __ldg(scale + block_row * (columns / 128) + column);
      }
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) load(i, i);
  }

  __device__ void load(int slot, int step) {
    if (step >= steps) return;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        data[slot][tile][half] = load_weight(bytes + offset[tile][half] + step * kStepBytes);
        if (kFp4)
          scale_word[slot][tile][half] =
              __ldg(reinterpret_cast<const uint32_t*>(row_scales + scale_offset[tile][half]) + step);
      }
    }
  }

  // sums[tile][column tile] += the product with the units at `units`: this lane's unit 0 of step 0 for the first
  // column tile. Those of the next tile are `column_stride` units on.
  template <int kColumns>
  __device__ void multiply(const uint4* units, int column_stride, float (&sums)[kTiles][kColumns][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int first = 0; first < steps; first += kAhead) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int step = first + i;
        if (step >= steps) break;
        __nv_bfloat162 factor[kTiles][2];
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
          const uint32_t shared_scale =
              kFp8 ? __shfl_sync(~0u, block_scale[tile], step * Format::kStepColumns / 128) : 0;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const uint32_t byte = kFp4 ? scale_word[i][tile][half] >> (lane % 4 * 8) & 255u : shared_scale;
            factor[tile][half] = scale_factor(byte, Format::kExponent);
          }
        }
#pragma unroll
        for (int unit = 0; unit < Format::kUnits; ++unit) {
          uint32_t low[kTiles][4];   // of rows g: a0, a2 of the first product, a0, a2 of the second
          uint32_t high[kTiles][4];  // of rows g+8
#pragma unroll
          for (int tile = 0; tile < kTiles; ++tile) {
            Format::decode(data[i][tile][0], unit, factor[tile][0], low[tile]);
            Format::decode(data[i][tile][1], unit, factor[tile][1], high[tile]);
          }
          // The last bytes are decoded: their registers take the next ones while the products are made.
          if (kAhead == 1 && unit == Format::kUnits - 1) load(i, step + kAhead);
          const uint4* column = units + (step * Format::kUnits + unit) * 4;
#pragma unroll
          for (int c = 0; c < kColumns; ++c, column += column_stride) {
            const uint4 b = *column;
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
              mma_bf16(sums[tile][c], low[tile][0], high[tile][0], low[tile][1], high[tile][1], b.x, b.y);
              mma_bf16(sums[tile][c], low[tile][2], high[tile][2], low[tile][3], high[tile][3], b.z, b.w);
            }
          }
        }
        if (kAhead > 1) load(i, step + kAhead);
      }
    }
  }
};

// The factor that undoes the 2^-60 of scaled weights.
template <WeightFormat kFormat>
constexpr float out_factor() {
  return kFormat == WeightFormat::kBF16 ? 1.0f : kScaleOut;
}

// 8 consecutive activations as a unit: q8() over the 128 that 16 neighbouring lanes hold if `quantize`, then
// bf16. All lanes of the warp call it.
template <WeightFormat kFormat>
__device__ __forceinline__ uint4 make_unit(float (&x)[8], bool quantize) {
  if (quantize) {
    float largest = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; ++i) largest = fmaxf(largest, fabsf(x[i]));
    const int exponent = q8_exponent(warp_max(largest, 16));
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = q8_round(x[i], exponent);
  }
  return Tile<kFormat>::arrange(x);
}

}  // namespace ft::cuda
