#include "core/cpu/attention.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/attention.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/check.h"
#include "core/cpu/cache_rows-inl.h"
#include "core/cpu/indexer.h"
#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

constexpr int kTileKeys = 4;                         // keys scored together
constexpr int kTileHeads = kLanes == 16 ? 4 : 2;     // heads beside them
constexpr int kValueVectors = kLanes == 16 ? 4 : 2;  // column vectors accumulated together
constexpr int64_t kValueFloats = 32768;              // of the keys of a pass over the columns: 128 KiB

int64_t padded_keys(int64_t count) {
  return (count + 15) / 16 * 16;
}
int64_t padded_width(int64_t width) {
  return (width + 15) / 16 * 16;
}

// Keys of a pass: whole tiles.
int64_t value_keys(int64_t head_dim) {
  return std::max<int64_t>(1, kValueFloats / (padded_width(head_dim) * kTileKeys)) * kTileKeys;
}

// What a unit works on.
struct HeadBlock {
  const void** rows;    // of the keys, in list order
  const float** keys;   // the same as float32 rows; of packed rows, those of the chunk that was unpacked last
  float* unpacked;      // [value_keys, padded_width]
  bool packed_window;   // the first window_count rows
  bool packed_entries;  // the others
  int64_t window_count;
  int64_t count;
  int heads;
  int64_t head_dim;
  int64_t rope_dim;
  const float* q[kHeadBlockMax];
  float* scores;  // [heads, stride]
  int64_t stride;
  float* sums;  // [heads, padded_width]
};

HWY_INLINE void collect_keys(const AttentionArgs& args, int64_t row, HeadBlock& block) {
  const auto row_bytes = [&](const KeyRows& rows) {
    return key_bytes(rows.format, args.head_dim, args.inverse.rope_dim);
  };
  const auto* raw = static_cast<const std::byte*>(args.raw.data);
  const auto* compressed = static_cast<const std::byte*>(args.compressed.data);
  const int64_t raw_bytes = row_bytes(args.raw), entry_bytes = row_bytes(args.compressed);
  int64_t count = 0;
  const int32_t* window = args.window + row * args.window_width;
  for (int32_t i = 0; i < args.window_width; ++i) {
    if (window[i] >= 0) block.rows[count++] = raw + window[i] * raw_bytes;
  }
  block.window_count = count;
  if (args.selected != nullptr) {
    const int32_t* selected = args.selected + row * args.selected_width;
    for (int32_t i = 0; i < args.selected_width; ++i) {
      if (selected[i] >= 0) block.rows[count++] = compressed + selected[i] * entry_bytes;
    }
  }
  if (args.all_visible != nullptr) {
    const int32_t visible = visible_count(*args.all_visible, row);
    for (int32_t j = 0; j < visible; ++j) {
      block.rows[count++] = compressed + entry_address(*args.all_visible, row, j) * entry_bytes;
    }
  }
  block.count = count;
}

// Makes the keys [begin, end) float32 rows, at most value_keys of them.
HWY_INLINE void load_keys(const HeadBlock& block, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    if (k < block.window_count ? block.packed_window : block.packed_entries) {
      float* row = block.unpacked + (k - begin) * padded_width(block.head_dim);
      unpack_key_row(static_cast<const uint8_t*>(block.rows[k]), block.head_dim, block.rope_dim, row);
      block.keys[k] = row;
    } else {
      block.keys[k] = static_cast<const float*>(block.rows[k]);
    }
  }
}

// scores = scale * (q . key): a tile of heads by keys shares the loads of both. At the edges the last head
// and key are repeated and the surplus is overwritten or ignored.
HWY_INLINE void score_tile(const HeadBlock& block, int first_head, int64_t first_key, float scale) {
  const D d;
  const D4 d4;
  const float* q[kTileHeads];
  const float* keys[kTileKeys];
  for (int h = 0; h < kTileHeads; ++h) q[h] = block.q[std::min(first_head + h, block.heads - 1)];
  for (int k = 0; k < kTileKeys; ++k) keys[k] = block.keys[std::min(first_key + k, block.count - 1)];
  // On AVX2 the lower eight of the sixteen lanes first, over all columns, so that all sums stay in registers.
  Sixteen total[kTileHeads][kTileKeys];
  for (int p = 0; p < kParts; ++p) {
    V sum[kTileHeads][kTileKeys];
#pragma GCC unroll 4
    for (int h = 0; h < kTileHeads; ++h) {
#pragma GCC unroll 4
      for (int k = 0; k < kTileKeys; ++k) sum[h][k] = hn::Zero(d);
    }
    int64_t c = p * kLanes;
    for (; c + kLanes <= block.head_dim; c += kSumLanes) {
      V key[kTileKeys];
#pragma GCC unroll 4
      for (int k = 0; k < kTileKeys; ++k) key[k] = hn::LoadU(d, keys[k] + c);
#pragma GCC unroll 4
      for (int h = 0; h < kTileHeads; ++h) {
        const V query = hn::LoadU(d, q[h] + c);
#pragma GCC unroll 4
        for (int k = 0; k < kTileKeys; ++k) sum[h][k] = hn::MulAdd(query, key[k], sum[h][k]);
      }
    }
    if (c < block.head_dim) {
      for (int h = 0; h < kTileHeads; ++h) {
        const V query = load_first(q[h] + c, block.head_dim - c);
        for (int k = 0; k < kTileKeys; ++k)
          sum[h][k] = hn::MulAdd(query, load_first(keys[k] + c, block.head_dim - c), sum[h][k]);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < kTileHeads; ++h) {
#pragma GCC unroll 4
      for (int k = 0; k < kTileKeys; ++k) total[h][k].part[p] = sum[h][k];
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kTileHeads; ++h) {
    if (first_head + h >= block.heads) break;
    const V4 dots = sum_lanes4(total[h][0], total[h][1], total[h][2], total[h][3]);
    hn::StoreU(hn::Mul(dots, hn::Set(d4, scale)), d4,
               block.scores + (first_head + h) * block.stride + first_key);
  }
}

// Replaces the scores of one head by the weights of the value sum; returns Z, which counts them unrounded.
HWY_INLINE float soften(float* scores, int64_t count, float sink, bool official) {
  const D d;
  const int64_t padded = padded_keys(count);
  std::fill(scores + count, scores + padded, -std::numeric_limits<float>::infinity());
  V top = hn::LoadU(d, scores);
  for (int64_t i = kLanes; i < padded; i += kLanes) top = hn::Max(top, hn::LoadU(d, scores + i));
  const V largest = hn::MaxOfLanes(d, top);
  Sixteen total = zero16();
  for (int64_t i = 0; i < padded; i += kSumLanes) {
    for (int p = 0; p < kParts; ++p) {
      float* at = scores + i + p * kLanes;
      const V weight = exp_lanes(d, hn::Sub(hn::LoadU(d, at), largest));
      total.part[p] = hn::Add(total.part[p], weight);
      hn::StoreU(round_if(d, weight, official), d, at);
    }
  }
  return sum_lanes(total) + exp_one(sink - hn::GetLane(largest));
}

// sums[h, columns] += weights[h, k] * key[k, columns] over keys [begin, end) in order.
template <int kHeads, int kVectors>
HWY_INLINE void add_values(const HeadBlock& block, int first_head, int64_t column, int64_t begin,
                           int64_t end) {
  const D d;
  const int64_t width = padded_width(block.head_dim);
  float* sums = block.sums + first_head * width + column;
  const float* weights = block.scores + first_head * block.stride;
  V sum[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[h][v] = hn::LoadU(d, sums + h * width + v * kLanes);
  }
  for (int64_t k = begin; k < end; ++k) {
    V value[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) value[v] = hn::LoadU(d, block.keys[k] + column + v * kLanes);
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const V weight = hn::Set(d, weights[h * block.stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[h][v] = hn::MulAdd(weight, value[v], sum[h][v]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[h][v], d, sums + h * width + v * kLanes);
  }
}

// The last columns of a width that is no multiple of the vector.
HWY_INLINE void add_value_tail(const HeadBlock& block, int head, int64_t column, int64_t begin, int64_t end) {
  const D d;
  const auto mask = hn::FirstN(d, static_cast<size_t>(block.head_dim - column));
  float* sums = block.sums + head * padded_width(block.head_dim) + column;
  V sum = hn::LoadU(d, sums);
  for (int64_t k = begin; k < end; ++k) {
    sum = hn::MulAdd(hn::Set(d, block.scores[head * block.stride + k]),
                     hn::MaskedLoad(mask, d, block.keys[k] + column), sum);
  }
  hn::StoreU(sum, d, sums);
}

template <int kHeads>
HWY_INLINE void add_value_columns(const HeadBlock& block, int head, int64_t begin, int64_t end) {
  int64_t column = 0;
  for (; column + kValueVectors * kLanes <= block.head_dim; column += kValueVectors * kLanes) {
    add_values<kHeads, kValueVectors>(block, head, column, begin, end);
  }
  for (; column + kLanes <= block.head_dim; column += kLanes)
    add_values<kHeads, 1>(block, head, column, begin, end);
  if (column == block.head_dim) return;
  for (int h = 0; h < kHeads; ++h) add_value_tail(block, head + h, column, begin, end);
}

void attention_units_target(const AttentionJob& job, int64_t begin, int64_t end, int thread) {
  const AttentionArgs& args = *job.args;
  const D d;
  const int64_t width = padded_width(args.head_dim), pass = value_keys(args.head_dim);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.head_dim)));
  float* scratch = job.thread_scratch + thread * attention_scratch_floats(job.key_max, args.head_dim);
  HeadBlock block;
  block.stride = padded_keys(job.key_max);
  // A pointer takes two floats.
  block.rows = reinterpret_cast<const void**>(scratch);
  block.keys = reinterpret_cast<const float**>(scratch + 2 * block.stride);
  block.unpacked = scratch + 4 * block.stride;
  block.scores = block.unpacked + pass * width;
  block.sums = block.scores + kHeadBlockMax * block.stride;
  block.packed_window = args.raw.packed();
  block.packed_entries = args.compressed.packed();
  block.head_dim = args.head_dim;
  block.rope_dim = args.inverse.rope_dim;
  int64_t collected = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t row = unit / job.blocks();
    const int first = static_cast<int>(unit % job.blocks()) * job.head_block;
    if (collected != row) {
      collect_keys(args, row, block);
      FT_CHECK(block.count > 0 && block.count <= job.key_max, row, block.count, job.key_max);
      collected = row;
    }
    block.heads = std::min(job.head_block, args.head_count - first);
    for (int h = 0; h < block.heads; ++h) block.q[h] = args.q.row(row) + (first + h) * args.head_dim;
    for (int64_t chunk = 0; chunk < block.count; chunk += pass) {
      const int64_t last = std::min(block.count, chunk + pass);
      load_keys(block, chunk, last);
      for (int64_t k = chunk; k < last; k += kTileKeys) {
        for (int h = 0; h < block.heads; h += kTileHeads) score_tile(block, h, k, scale);
      }
    }
    float total[kHeadBlockMax];
    for (int h = 0; h < block.heads; ++h) {
      total[h] =
          soften(block.scores + h * block.stride, block.count, args.sink.data[first + h], job.official);
    }
    std::fill_n(block.sums, block.heads * width, 0.0f);
    for (int64_t k = 0; k < block.count; k += pass) {
      const int64_t last = std::min(block.count, k + pass);
      if (block.count > pass) load_keys(block, k, last);
      int h = 0;
      for (; h + kTileHeads <= block.heads; h += kTileHeads) add_value_columns<kTileHeads>(block, h, k, last);
      for (; h < block.heads; ++h) add_value_columns<1>(block, h, k, last);
    }
    for (int h = 0; h < block.heads; ++h) {
      const float* sums = block.sums + h * width;
      float* out = args.out.row(row) + (first + h) * args.head_dim;
      for (int64_t c = 0; c < args.head_dim; c += kLanes) {
        const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, args.head_dim - c)));
        const V v = hn::Div(hn::LoadU(d, sums + c), hn::Set(d, total[h]));
        hn::BlendedStore(round_if(d, v, job.official), mask, d, out + c);
      }
      const int64_t rope_dim = args.inverse.rope_dim;
      rotate_pairs(out + args.head_dim - rope_dim, args.inverse.data + row * rope_dim, rope_dim, -1.0f,
                   job.official);
    }
  }
}

int64_t attention_scratch_target(int64_t key_max, int64_t head_dim) {
  // Two pointers a key, four floats.
  return padded_keys(key_max) * (4 + kHeadBlockMax) +
         (value_keys(head_dim) + kHeadBlockMax) * padded_width(head_dim);
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(attention_scratch_target);
HWY_EXPORT(attention_units_target);

int64_t attention_key_max(const AttentionArgs& args) {
  int64_t keys = args.window_width;
  if (args.selected != nullptr) keys += args.selected_width;
  if (args.all_visible != nullptr) keys += args.all_visible->visible_max;
  return keys;
}
int attention_head_block(const AttentionArgs& args, int threads) {
  constexpr int64_t kUnitsPerThread = 4;  // the pieces that a team cuts a loop into (parallel.cc)
  const int64_t heads = args.q.rows * args.head_count / (kUnitsPerThread * threads);
  return static_cast<int>(std::clamp<int64_t>(heads / 8 * 8, 8, kHeadBlockMax));
}
int64_t attention_scratch_floats(int64_t key_max, int64_t head_dim) {
  return HWY_DYNAMIC_DISPATCH(attention_scratch_target)(key_max, head_dim);
}
void attention_units(const AttentionJob& job, int64_t begin, int64_t end, int thread) {
  HWY_DYNAMIC_DISPATCH(attention_units_target)(job, begin, end, thread);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
