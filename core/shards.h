// Eight virtual shards, which define every sum that several ranks can share (docs/spec/model.md 3.13). They are
// there on one rank too: a rank owns 8, 4, 2 or 1 neighbouring shards, and the sums are the same.
//
// A sum over shards is ((p0+p1)+(p2+p3))+((p4+p5)+(p6+p7)) of float32 partial sums; that of an empty shard is +0. The
// shards of a rank are a complete subtree of it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/model_config.h"
#include "core/ranks/comm.h"

namespace ft {

inline constexpr int kShards = 8;

// Elements [begin, end).
struct ShardRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool operator==(const ShardRange&) const = default;
};

// Neighbouring shards.
struct ShardSpan {
  int first = 0;
  int count = kShards;
};

inline ShardSpan own_shards(const RankGroup& ranks) {
  return {ranks.rank * kShards / ranks.size, kShards / ranks.size};
}

// A dimension of `size` elements that is cut between units of `unit` elements only, the last of which may be short.
// Shard s has the units [units*s/8, units*(s+1)/8): shards may be uneven or empty.
struct ShardedAxis {
  int64_t size = 0;
  int64_t unit = 1;

  // Where shard `shard` begins; edge(kShards) is the size.
  int64_t edge(int shard) const {
    const int64_t units = (size + unit - 1) / unit;
    return std::min(units * shard / kShards * unit, size);
  }
  ShardRange of(ShardSpan shards) const { return {edge(shards.first), edge(shards.first + shards.count)}; }
  ShardRange of(const RankGroup& ranks) const { return of(own_shards(ranks)); }
};

// Edges of the shards of a rank, counted from where the first begins: shard i of them is [at[i], at[i+1]).
struct ShardEdges {
  int count = 0;
  std::array<int64_t, kShards + 1> at{};
};

inline ShardEdges own_edges(const ShardedAxis& axis, const RankGroup& ranks) {
  const ShardSpan shards = own_shards(ranks);
  ShardEdges edges{shards.count, {}};
  for (int i = 0; i <= shards.count; ++i)
    edges.at[static_cast<size_t>(i)] = axis.edge(shards.first + i) - axis.edge(shards.first);
  return edges;
}

// The sum over `count` = 1, 2, 4 or 8 neighbouring shards, in the order of the tree.
template <class Value, class Get>
inline Value shard_sum(int first, int count, const Get& get) {
  if (count == 1) return get(first);
  const int half = count / 2;
  return shard_sum<Value>(first, half, get) + shard_sum<Value>(first + half, half, get);
}

// Rows and columns that shards take of a weight are whole tiles of scales and whole groups of q8().
inline constexpr int64_t kShardTile = 128;

// Groups of the output projection that are never divided: the fewest neighbouring ones whose heads are rows of wq_b,
// and whose outputs columns of wo_b, by whole tiles.
inline int64_t attention_unit_groups(const ModelConfig& config) {
  const int64_t head_rows = config.num_attention_heads / config.o_groups * config.head_dim;
  int64_t groups = 1;
  while (groups < config.o_groups &&
         (groups * head_rows % kShardTile != 0 || groups * config.o_lora_rank % kShardTile != 0))
    ++groups;
  return groups;
}

inline int64_t attention_unit_heads(const ModelConfig& config) {
  return attention_unit_groups(config) * (config.num_attention_heads / config.o_groups);
}

// Query heads, rows of wq_b, rows of wo_a and columns of wo_b.
inline ShardedAxis head_axis(const ModelConfig& config) {
  return {config.num_attention_heads, attention_unit_heads(config)};
}
inline ShardedAxis query_axis(const ModelConfig& config) {
  return {config.num_attention_heads * config.head_dim, attention_unit_heads(config) * config.head_dim};
}
inline ShardedAxis projected_axis(const ModelConfig& config) {
  return {config.o_groups * config.o_lora_rank, attention_unit_groups(config) * config.o_lora_rank};
}
// Intermediate columns of an expert, of `size`: rows of w1 and w3, columns of w2.
inline ShardedAxis expert_axis(int64_t size) {
  return {size, kShardTile};
}
// Rows of the head, columns of the logits.
inline ShardedAxis vocabulary_axis(int64_t size) {
  return {size, kShardTile};
}

}  // namespace ft
