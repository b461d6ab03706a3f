#include "core/cpu/indexer.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/indexer.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/cache_rows-inl.h"
#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// Lanes are heads: q is transposed to [head_dim, heads], so a key's columns are broadcast and no lanes need
// folding until all heads are weighed. Keys share the loads of q, and so many sums are in flight that additions
// need not wait for each other.
constexpr int kHeadGroups = kLanes == 16 ? 4 : 1;  // groups of sixteen heads that are weighed together
constexpr int kKeysOfMany = 4;                     // keys beside so many heads
constexpr int kKeysOfFew = kLanes == 16 ? 8 : 4;   // keys beside one group
constexpr int kKeysMost = 8;

struct Query {
  const float* transposed;  // [head_dim, padded]
  const float* weights;     // [padded], zero behind the last head
  int64_t padded;           // whole groups of sixteen
  int64_t head_dim;
};

// Adds what 16 * kGroups heads give; group by group, so that total is the same however many are taken
// together.
template <int kGroups, int kKeys>
HWY_INLINE void weigh_heads(const Query& query, const float* const* keys, int64_t first_head, bool official,
                            Sixteen (&total)[kKeys]) {
  constexpr int kHeadVectors = kGroups * kParts;
  const D d;
  V dot[kKeys][kHeadVectors];
#pragma GCC unroll 8
  for (int k = 0; k < kKeys; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < kHeadVectors; ++v) dot[k][v] = hn::Zero(d);
  }
  const float* q = query.transposed + first_head;
  for (int64_t c = 0; c < query.head_dim; ++c, q += query.padded) {
#pragma GCC unroll 4
    for (int v = 0; v < kHeadVectors; ++v) {
      const V heads = hn::LoadU(d, q + v * kLanes);
#pragma GCC unroll 8
      for (int k = 0; k < kKeys; ++k) dot[k][v] = hn::MulAdd(heads, hn::Set(d, keys[k][c]), dot[k][v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kHeadVectors; ++v) {
    const V weight = hn::LoadU(d, query.weights + first_head + v * kLanes);
#pragma GCC unroll 8
    for (int k = 0; k < kKeys; ++k) {
      const V relu = hn::Max(round_if(d, dot[k][v], official), hn::Zero(d));
      V& sum = total[k].part[v % kParts];
      sum = hn::Add(sum, round_if(d, hn::Mul(weight, relu), official));
    }
  }
}

template <int kKeys>
HWY_INLINE void score_keys(const Query& query, const float* const* keys, bool official, float* scores) {
  Sixteen total[kKeys];
  for (int k = 0; k < kKeys; ++k) total[k] = zero16();
  int64_t head = 0;
  for (; head + kHeadGroups * kSumLanes <= query.padded; head += kHeadGroups * kSumLanes) {
    weigh_heads<kHeadGroups>(query, keys, head, official, total);
  }
  for (; head < query.padded; head += kSumLanes) weigh_heads<1>(query, keys, head, official, total);
  const D4 d4;
#pragma GCC unroll 2
  for (int k = 0; k < kKeys; k += 4) {
    const V4 sums = sum_lanes4(total[k], total[k + 1], total[k + 2], total[k + 3]);
    hn::StoreU(round_if(d4, sums, official), d4, scores + k);
  }
}

int64_t padded_heads(int64_t heads) {
  return (heads + kSumLanes - 1) / kSumLanes * kSumLanes;
}

int64_t score_scratch_target(int64_t head_count, int64_t head_dim) {
  return padded_heads(head_count) * (head_dim + 1) + kKeysMost * head_dim;
}

// Scores of the entries [first, last) of a row.
template <int kKeys>
HWY_INLINE void score_entries(const ScoreJob& job, const Query& query, int64_t row, int32_t first,
                              int32_t last, float* unpacked, float* scores) {
  const int64_t packed_bytes = index_key_bytes(RowFormat::kPacked, job.head_dim);
  for (int32_t j = first; j < last; j += kKeys) {
    const float* keys[kKeys];
    for (int32_t k = 0; k < kKeys; ++k) {
      if (j + k >= last) {  // scored and not used
        keys[k] = keys[0];
        continue;
      }
      const int64_t address = entry_address(*job.view, row, j + k);
      if (job.keys.packed()) {
        keys[k] = unpacked + k * job.head_dim;
        unpack_index_row(static_cast<const uint8_t*>(job.keys.data) + address * packed_bytes, job.head_dim,
                         unpacked + k * job.head_dim);
      } else {
        keys[k] = job.keys.f32() + address * job.head_dim;
      }
    }
    if (j + kKeys <= last) {
      score_keys<kKeys>(query, keys, job.official, scores + j);
    } else {
      float rest[kKeys];
      score_keys<kKeys>(query, keys, job.official, rest);
      std::copy_n(rest, last - j, scores + j);
    }
  }
}

void score_units_target(const ScoreJob& job, int64_t begin, int64_t end, int thread) {
  const int64_t heads = job.weights.cols;
  const int64_t padded = padded_heads(heads);
  float* scratch = job.thread_scratch + thread * score_scratch_target(heads, job.head_dim);
  float* weights = scratch + padded * job.head_dim;
  float* unpacked = weights + padded;
  const Query query{scratch, weights, padded, job.head_dim};
  int64_t prepared = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t i = unit / job.chunks;
    const int64_t row = job.first_row + i;
    const int32_t visible = visible_count(*job.view, row);
    const int32_t first = static_cast<int32_t>(unit % job.chunks) * kScoreChunk;
    if (first >= visible) continue;
    if (prepared != row) {
      const float* q = job.q.row(row);
      std::fill_n(scratch, padded * (job.head_dim + 1), 0.0f);
      for (int64_t h = 0; h < heads; ++h) {
        const float w = job.weights.row(row)[h] * job.weight_scale;
        weights[h] = job.official ? ft::round_bf16(w) : w;
        for (int64_t c = 0; c < job.head_dim; ++c) scratch[c * padded + h] = q[h * job.head_dim + c];
      }
      prepared = row;
    }
    const int32_t last = std::min(visible, first + kScoreChunk);
    float* scores = job.scores + i * job.score_stride;
    if (padded == kSumLanes) {
      score_entries<kKeysOfFew>(job, query, row, first, last, unpacked, scores);
    } else {
      score_entries<kKeysOfMany>(job, query, row, first, last, unpacked, scores);
    }
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(score_scratch_target);
HWY_EXPORT(score_units_target);

int64_t score_scratch_floats(int64_t head_count, int64_t head_dim) {
  return HWY_DYNAMIC_DISPATCH(score_scratch_target)(head_count, head_dim);
}
void score_units(const ScoreJob& job, int64_t begin, int64_t end, int thread) {
  HWY_DYNAMIC_DISPATCH(score_units_target)(job, begin, end, thread);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
