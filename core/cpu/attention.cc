#include "core/cpu/attention.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/attention.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <utility>

#include "core/check.h"
#include "core/cpu/indexer.h"
#include "core/cpu/lanes-inl.h"
#include "core/cpu/load_rows-inl.h"
#include "core/cpu/numbers-inl.h"
#include "core/cpu/target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC target("avx512bf16")  // see panel-inl.h
#endif
namespace ft::cpu::HWY_NAMESPACE {

constexpr int kTileKeys = 4;                        // keys scored together
constexpr int kTileHeads = kLanes == 16 ? 4 : 2;    // heads beside them
constexpr int kValueGroups = kLanes == 16 ? 2 : 1;  // groups of columns accumulated together
constexpr int64_t kKeyBytes = 131072;               // of the keys of a pass over the columns

int64_t padded_keys(int64_t count) {
  return (count + 15) / 16 * 16;
}

// Keys of a pass: whole tiles.
int64_t pass_keys(int64_t head_dim, int64_t element_bytes) {
  return std::max<int64_t>(1, kKeyBytes / (whole_groups(head_dim) * element_bytes * kTileKeys)) * kTileKeys;
}

// What a unit works on. Keys and queries are rows in whole groups, whose lanes are columns.
template <class Numbers>
struct HeadBlock {
  using Element = typename Numbers::Element;
  const void** rows;    // of the cache, in list order
  Element* keys;        // [pass_keys, width]: of the pass that was loaded last
  bool packed_window;   // the first window_count rows
  bool packed_entries;  // the others
  int64_t window_count;
  int64_t count;
  int heads;
  int64_t head_dim;
  int64_t rope_dim;
  int64_t width;  // whole_groups(head_dim)
  Element* q;     // [heads, width]
  float* scores;  // [heads, stride]; for sums over keys, as elements
  int64_t stride;
  float* sums;  // [heads, width]
  float* row;   // [width], zero behind head_dim: a row on its way

  const Element* weights(int head) const { return reinterpret_cast<const Element*>(scores + head * stride); }
};

template <class Numbers>
HWY_INLINE void collect_keys(const AttentionArgs& args, int64_t row, HeadBlock<Numbers>& block) {
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

// Loads the keys [begin, end), at most pass_keys() of them.
template <class Numbers>
HWY_INLINE void load_keys(const HeadBlock<Numbers>& block, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    typename Numbers::Element* key = block.keys + (k - begin) * block.width;
    if (k < block.window_count ? block.packed_window : block.packed_entries) {
      load_packed_key<Numbers>(static_cast<const uint8_t*>(block.rows[k]), block.head_dim, block.rope_dim,
                               block.row, key);
    } else {
      std::copy_n(static_cast<const float*>(block.rows[k]), block.head_dim, block.row);
      Numbers::convert(block.row, block.width, true, key);
    }
  }
}

// scores = scale * (q . key) for keys of the pass that begins at `pass`: a tile of heads by keys shares the loads of
// both. At the edges the last head and key are repeated and the surplus is overwritten or ignored.
template <class Numbers>
HWY_INLINE void score_tile(const HeadBlock<Numbers>& block, int first_head, int64_t pass, int64_t first_key,
                           int64_t end, float scale) {
  const D d;
  const D4 d4;
  const typename Numbers::Element *q[kTileHeads], *keys[kTileKeys];
  for (int h = 0; h < kTileHeads; ++h)
    q[h] = block.q + std::min(first_head + h, block.heads - 1) * block.width;
  for (int k = 0; k < kTileKeys; ++k)
    keys[k] = block.keys + (std::min(first_key + k, end - 1) - pass) * block.width;
  // On AVX2 the lower eight of the sixteen lanes first, over all columns, so that all sums stay in registers.
  Sixteen total[kTileHeads][kTileKeys];
  for (int p = 0; p < kParts; ++p) {
    V sum[kTileHeads][kTileKeys];
#pragma GCC unroll 4
    for (int h = 0; h < kTileHeads; ++h) {
#pragma GCC unroll 4
      for (int k = 0; k < kTileKeys; ++k) sum[h][k] = hn::Zero(d);
    }
    for (int64_t c = p * kLanes; c < block.width; c += 16 * Numbers::kColumns) {
      typename Numbers::Vector key[kTileKeys];
#pragma GCC unroll 4
      for (int k = 0; k < kTileKeys; ++k) key[k] = Numbers::load(keys[k] + c);
#pragma GCC unroll 4
      for (int h = 0; h < kTileHeads; ++h) {
        const typename Numbers::Vector query = Numbers::load(q[h] + c);
#pragma GCC unroll 4
        for (int k = 0; k < kTileKeys; ++k) sum[h][k] = Numbers::add(query, key[k], sum[h][k]);
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

// sums[h, columns] += weights[h, k] * key[k, columns] over the keys [begin, end) of a pass, in pairs, the second of
// which comes first. Behind an odd number the last key is taken again, with the weight 0 that stands there.
template <int kHeads, int kGroups, class Numbers>
HWY_INLINE void add_values(const HeadBlock<Numbers>& block, int first_head, int64_t column, int64_t begin,
                           int64_t end) {
  Sixteen sums[kHeads][kGroups][2];
  for (int h = 0; h < kHeads; ++h) {
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < 2; ++i) {
        for (int p = 0; p < kParts; ++p)
          sums[h][g][i].part[p] = hn::LoadU(
              D(), block.sums + (first_head + h) * block.width + column + g * kGroup + i * 16 + p * kLanes);
      }
    }
  }
  for (int64_t k = begin; k < end; k += 2) {
    typename Numbers::Pair weights[kHeads];
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) weights[h] = Numbers::spread_pair(block.weights(first_head + h), k);
    const typename Numbers::Element* first = block.keys + (k - begin) * block.width + column;
    const typename Numbers::Element* second = k + 1 < end ? first + block.width : first;
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) {
      Sixteen* of_heads[kHeads];
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) of_heads[h] = sums[h][g];
      Numbers::template add_rows<kHeads>(weights, first + g * kGroup, second + g * kGroup, of_heads);
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < 2; ++i) {
        for (int p = 0; p < kParts; ++p)
          hn::StoreU(sums[h][g][i].part[p], D(),
                     block.sums + (first_head + h) * block.width + column + g * kGroup + i * 16 + p * kLanes);
      }
    }
  }
}

template <int kHeads, class Numbers>
HWY_INLINE void add_value_columns(const HeadBlock<Numbers>& block, int head, int64_t begin, int64_t end) {
  int64_t column = 0;
  for (; column + kValueGroups * kGroup <= block.width; column += kValueGroups * kGroup)
    add_values<kHeads, kValueGroups>(block, head, column, begin, end);
  for (; column < block.width; column += kGroup) add_values<kHeads, 1>(block, head, column, begin, end);
}

// The sums of a head over `total`, in order, to `out`.
template <class Numbers>
HWY_INLINE void store_head(const HeadBlock<Numbers>& block, int head, float total, bool official,
                           float* out) {
  const D d;
  for (int64_t c = 0; c < block.width; c += kGroup) {
    Sixteen sums[2];
    for (int i = 0; i < 2; ++i) {
      for (int p = 0; p < kParts; ++p)
        sums[i].part[p] = hn::LoadU(d, block.sums + head * block.width + c + i * 16 + p * kLanes);
    }
    HWY_ALIGN float columns[kGroup];
    Numbers::store_sums(sums, columns);
    for (int64_t v = 0; v < kGroup && c + v < block.head_dim; v += kLanes) {
      const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, block.head_dim - c - v)));
      const V value = hn::Div(hn::Load(d, columns + v), hn::Set(d, total));
      hn::BlendedStore(round_if(d, value, official), mask, d, out + c + v);
    }
  }
}

template <class Numbers>
void run_units(const AttentionJob& job, int64_t begin, int64_t end, int thread) {
  using Element = typename Numbers::Element;
  const AttentionArgs& args = *job.args;
  const int64_t pass = pass_keys(args.head_dim, sizeof(Element));
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.head_dim)));
  HeadBlock<Numbers> block;
  block.head_dim = args.head_dim;
  block.rope_dim = args.inverse.rope_dim;
  block.width = whole_groups(args.head_dim);
  block.stride = padded_keys(job.key_max);
  block.packed_window = args.raw.packed();
  block.packed_entries = args.compressed.packed();
  float* scratch = job.thread_scratch + thread * attention_scratch_floats(job.key_max, args.head_dim);
  const auto take = [&](int64_t floats) { return std::exchange(scratch, scratch + floats); };
  block.scores = take(kHeadBlockMax * block.stride);
  block.sums = take(kHeadBlockMax * block.width);
  block.row = take(block.width);
  block.q = reinterpret_cast<Element*>(take(kHeadBlockMax * block.width));
  block.keys = reinterpret_cast<Element*>(take(pass * block.width));
  block.rows = reinterpret_cast<const void**>(take(2 * block.stride));  // a pointer takes two floats
  std::fill_n(block.row, block.width, 0.0f);
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
    for (int h = 0; h < block.heads; ++h) {
      std::copy_n(args.q.row(row) + (first + h) * args.head_dim, args.head_dim, block.row);
      Numbers::convert(block.row, block.width, true, block.q + h * block.width);
    }
    for (int64_t k = 0; k < block.count; k += pass) {
      const int64_t last = std::min(block.count, k + pass);
      load_keys(block, k, last);
      for (int64_t key = k; key < last; key += kTileKeys) {
        for (int h = 0; h < block.heads; h += kTileHeads) score_tile(block, h, k, key, last, scale);
      }
    }
    float total[kHeadBlockMax];
    for (int h = 0; h < block.heads; ++h) {
      float* scores = block.scores + h * block.stride;
      total[h] = soften(scores, block.count, args.sink.data[first + h], job.official);
      Numbers::convert(scores, padded_keys(block.count), false, reinterpret_cast<Element*>(scores));
    }
    std::fill_n(block.sums, block.heads * block.width, 0.0f);
    for (int64_t k = 0; k < block.count; k += pass) {
      const int64_t last = std::min(block.count, k + pass);
      if (block.count > pass) load_keys(block, k, last);
      int h = 0;
      for (; h + kTileHeads <= block.heads; h += kTileHeads) add_value_columns<kTileHeads>(block, h, k, last);
      for (; h < block.heads; ++h) add_value_columns<1>(block, h, k, last);
    }
    for (int h = 0; h < block.heads; ++h) {
      float* out = args.out.row(row) + (first + h) * args.head_dim;
      store_head(block, h, total[h], job.official, out);
      rotate_pairs(out + args.head_dim - block.rope_dim, args.inverse.data + row * block.rope_dim,
                   block.rope_dim, -1.0f, job.official);
    }
  }
}

void attention_units_target(const AttentionJob& job, int64_t begin, int64_t end, int thread) {
#if HWY_TARGET == HWY_AVX3_DL
  if (job.official && uses_bf16_products()) return run_units<Bf16>(job, begin, end, thread);
#endif
  run_units<Floats>(job, begin, end, thread);
}

int64_t attention_scratch_target(int64_t key_max, int64_t head_dim) {
  // As run_units() takes them, with the keys of a pass as floats or as twice as many halves.
  const int64_t width = whole_groups(head_dim);
  return padded_keys(key_max) * (2 + kHeadBlockMax) +
         (2 * kHeadBlockMax + 1 + pass_keys(head_dim, sizeof(uint16_t))) * width;
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
