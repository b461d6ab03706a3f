#include "core/cpu/indexer.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/indexer.cc"
#include "hwy/foreach_target.h"
// clang-format on

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

// The products of a query's heads with a key come in one of two orders (numbers-inl.h).
//   Many heads: lanes are heads. The query is transposed and the columns of a key are spread over lanes, so that none
//   need folding until all heads are weighed.
//   Up to kFewHeads: lanes are columns, as in linears (linear.h), and are folded for each head.
constexpr int64_t kFewHeads = 8;
constexpr int kManyGroups = kLanes == 16 ? 4 : 1;  // groups of sixteen heads that are weighed together
constexpr int kKeysAtOnce = 4;

int64_t padded_heads(int64_t heads) {
  return (heads + kSumLanes - 1) / kSumLanes * kSumLanes;
}

// A row's query in scratch.
template <class Numbers>
struct Query {
  int64_t heads, head_dim;
  typename Numbers::Element* columns;  // few heads: [heads, whole_groups(head_dim)]
  uint32_t* words;                     // many heads: [steps, padded_heads(heads)]
  float* weights;                      // [padded_heads(heads)], zero behind the last

  bool few() const { return heads <= kFewHeads; }
};

template <class Numbers>
using Keys = const typename Numbers::Element* const (&)[kKeysAtOnce];

// Adds what 16 * kGroups heads give; group by group, so that total is the same however many are taken together.
template <int kGroups, class Numbers>
HWY_INLINE void weigh_heads(const Query<Numbers>& query, Keys<Numbers> keys, int64_t first_head,
                            bool official, Sixteen (&total)[kKeysAtOnce]) {
  constexpr int kHeadVectors = kGroups * kParts;
  const D d;
  V dot[kKeysAtOnce][kHeadVectors];
#pragma GCC unroll 4
  for (int k = 0; k < kKeysAtOnce; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < kHeadVectors; ++v) dot[k][v] = hn::Zero(d);
  }
  const int64_t stride = padded_heads(query.heads);
  const uint32_t* q = query.words + first_head;
  for (int64_t step = 0; step < query.head_dim / Numbers::kColumns; ++step, q += stride) {
    typename Numbers::Vector columns[kKeysAtOnce];
#pragma GCC unroll 4
    for (int k = 0; k < kKeysAtOnce; ++k) columns[k] = Numbers::spread(keys[k], step);
#pragma GCC unroll 4
    for (int v = 0; v < kHeadVectors; ++v) {
      const typename Numbers::Vector heads = Numbers::load_words(q + v * kLanes);
#pragma GCC unroll 4
      for (int k = 0; k < kKeysAtOnce; ++k) dot[k][v] = Numbers::add(heads, columns[k], dot[k][v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kHeadVectors; ++v) {
    const V weight = hn::LoadU(d, query.weights + first_head + v * kLanes);
#pragma GCC unroll 4
    for (int k = 0; k < kKeysAtOnce; ++k) {
      const V relu = hn::Max(round_if(d, dot[k][v], official), hn::Zero(d));
      V& sum = total[k].part[v % kParts];
      sum = hn::Add(sum, round_if(d, hn::Mul(weight, relu), official));
    }
  }
}

template <class Numbers>
HWY_INLINE V4 score_many(const Query<Numbers>& query, Keys<Numbers> keys, bool official) {
  Sixteen total[kKeysAtOnce];
  for (int k = 0; k < kKeysAtOnce; ++k) total[k] = zero16();
  const int64_t padded = padded_heads(query.heads);
  int64_t head = 0;
  for (; head + kManyGroups * kSumLanes <= padded; head += kManyGroups * kSumLanes)
    weigh_heads<kManyGroups>(query, keys, head, official, total);
  for (; head < padded; head += kSumLanes) weigh_heads<1>(query, keys, head, official, total);
  return sum_lanes4(total[0], total[1], total[2], total[3]);
}

template <class Numbers>
HWY_INLINE V4 score_few(const Query<Numbers>& query, Keys<Numbers> keys, bool official) {
  const D4 d4;
  constexpr int64_t kVectorColumns = kLanes * Numbers::kColumns;
  const int64_t columns = whole_groups(query.head_dim);
  V4 total = hn::Zero(d4);
  for (int64_t h = 0; h < query.heads; ++h) {
    const typename Numbers::Element* q = query.columns + h * columns;
    Sixteen dot[kKeysAtOnce];
#pragma GCC unroll 4
    for (int k = 0; k < kKeysAtOnce; ++k) dot[k] = zero16();
    for (int64_t c = 0; c < columns; c += kParts * kVectorColumns) {
#pragma GCC unroll 2
      for (int p = 0; p < kParts; ++p) {
        const typename Numbers::Vector head = Numbers::load(q + c + p * kVectorColumns);
#pragma GCC unroll 4
        for (int k = 0; k < kKeysAtOnce; ++k)
          dot[k].part[p] =
              Numbers::add(head, Numbers::load(keys[k] + c + p * kVectorColumns), dot[k].part[p]);
      }
    }
    const V4 relu = hn::Max(round_if(d4, sum_lanes4(dot[0], dot[1], dot[2], dot[3]), official), hn::Zero(d4));
    total = hn::Add(total, round_if(d4, hn::Mul(hn::Set(d4, query.weights[h]), relu), official));
  }
  return total;
}

// Calls use(j, address) for the entries [first, last) of a row.
template <class Use>
HWY_INLINE void for_addresses(const CompressedView& view, int64_t row, int32_t first, int32_t last,
                              const Use& use) {
  const int32_t committed = std::min(view.committed[row], last);
  for (int32_t j = first; j < committed;) {
    const int32_t address = entry_address(view, row, j);
    const int32_t end = std::min(committed, j + view.entries_per_page - j % view.entries_per_page);
    for (int32_t i = j; i < end; ++i) use(i, address + i - j);
    j = end;
  }
  for (int32_t j = std::max(first, committed); j < last; ++j) use(j, entry_address(view, row, j));
}

// Scores units of a thread. It keeps what it has converted: a row's query, and the keys of a chunk as long as the next
// row sees the same entries there.
template <class Numbers>
class Scorer {
 public:
  using Element = typename Numbers::Element;

  Scorer(const ScoreJob& job, float* scratch) : job_(job), columns_(whole_groups(job.head_dim)) {
    const int64_t padded = padded_heads(job.weights.cols);
    query_.heads = job.weights.cols;
    query_.head_dim = job.head_dim;
    query_.weights = scratch;
    query_.words = reinterpret_cast<uint32_t*>(scratch + padded);
    query_.columns = reinterpret_cast<Element*>(scratch + padded);
    float* behind = scratch + padded + padded * columns_;
    floats_ = behind;
    converted_ = reinterpret_cast<Element*>(behind + columns_);
    std::fill_n(floats_, columns_, 0.0f);
    std::fill_n(scratch, padded, 0.0f);
    std::fill_n(addresses_, kScoreChunk, -1);
  }

  void score(int64_t row, int32_t first, int32_t last, float* scores) {
    if (row != row_) load_query(row);
    load_keys(row, first, last);
    const D4 d4;
    for (int32_t k = 0; k < last - first; k += kKeysAtOnce) {
      // Behind the last key the last one is scored again, and not used.
      const Element* keys[kKeysAtOnce];
      for (int32_t i = 0; i < kKeysAtOnce; ++i) keys[i] = keys_[std::min(k + i, last - first - 1)];
      const V4 sums = query_.few() ? score_few<Numbers>(query_, keys, job_.official)
                                   : score_many<Numbers>(query_, keys, job_.official);
      const V4 rounded = round_if(d4, sums, job_.official);
      if (k + kKeysAtOnce <= last - first) {
        hn::StoreU(rounded, d4, scores + k);
      } else {
        HWY_ALIGN float rest[kKeysAtOnce];
        hn::Store(rounded, d4, rest);
        std::copy_n(rest, last - first - k, scores + k);
      }
    }
  }

 private:
  void load_query(int64_t row) {
    const float* q = job_.q.row(row);
    const int64_t padded = padded_heads(query_.heads), steps = query_.head_dim / Numbers::kColumns;
    for (int64_t h = 0; h < query_.heads; ++h, q += query_.head_dim) {
      const float w = job_.weights.row(row)[h] * job_.weight_scale;
      query_.weights[h] = job_.official ? ft::round_bf16(w) : w;
      std::copy_n(q, query_.head_dim, floats_);
      if (query_.few()) {
        Numbers::convert(floats_, columns_, true, query_.columns + h * columns_);
      } else {
        Numbers::convert(floats_, columns_, false, converted_);  // the place of a key, which is loaded later
        for (int64_t step = 0; step < steps; ++step)
          query_.words[step * padded + h] = Numbers::word(converted_, step);
      }
    }
    if (!query_.few()) {
      addresses_[0] = -1;
      for (int64_t step = 0; step < steps; ++step)
        std::fill(query_.words + step * padded + query_.heads, query_.words + (step + 1) * padded, 0u);
    }
    row_ = row;
  }

  void load_keys(int64_t row, int32_t first, int32_t last) {
    const int64_t packed_bytes = index_key_bytes(RowFormat::kPacked, job_.head_dim);
    for_addresses(*job_.view, row, first, last, [&](int32_t j, int32_t address) HWY_ATTR {
      const int32_t k = j - first;
      if (addresses_[k] == address) return;
      addresses_[k] = address;
      Element* key = converted_ + k * columns_;
      keys_[k] = key;
      if (job_.keys.packed()) {
        unpack_index_row(static_cast<const uint8_t*>(job_.keys.data) + address * packed_bytes, job_.head_dim,
                         floats_);
      } else {
        std::copy_n(job_.keys.f32() + address * job_.head_dim, job_.head_dim, floats_);
      }
      Numbers::convert(floats_, columns_, query_.few(), key);
    });
  }

  const ScoreJob& job_;
  int64_t columns_;
  Query<Numbers> query_;
  int64_t row_ = -1;
  float* floats_;       // [columns], zero behind the last
  Element* converted_;  // [kScoreChunk, columns]
  const Element* keys_[kScoreChunk];
  int32_t addresses_[kScoreChunk];
};

int64_t score_scratch_target(int64_t head_count, int64_t head_dim) {
  return padded_heads(head_count) * (whole_groups(head_dim) + 1) + (1 + kScoreChunk) * whole_groups(head_dim);
}

template <class Numbers>
void run_units(const ScoreJob& job, int64_t begin, int64_t end, int thread) {
  const int64_t heads = job.weights.cols;
  Scorer<Numbers> scorer(job, job.thread_scratch + thread * score_scratch_target(heads, job.head_dim));
  for (int64_t unit = begin; unit < end; ++unit) {
    // Few heads are quickly converted, so a chunk of keys meets all rows; many heads meet all keys.
    const int64_t i = heads <= kFewHeads ? unit % job.rows : unit / job.chunks;
    const int64_t chunk = heads <= kFewHeads ? unit / job.rows : unit % job.chunks;
    const int64_t row = job.first_row + i;
    const int32_t first = static_cast<int32_t>(chunk) * kScoreChunk;
    const int32_t last = std::min(visible_count(*job.view, row), first + kScoreChunk);
    if (first < last) scorer.score(row, first, last, job.scores + i * job.score_stride + first);
  }
}

void score_units_target(const ScoreJob& job, int64_t begin, int64_t end, int thread) {
#if HWY_TARGET == HWY_AVX3_DL
  if (job.official && uses_bf16_products()) return run_units<Bf16>(job, begin, end, thread);
#endif
  run_units<Floats>(job, begin, end, thread);
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
