// What of an op is a rank's own: its arguments cut down to the columns that the rank computes. On one rank, all of it.
#pragma once

#include "core/backend.h"

namespace ft {

// The columns of x and y, and the groups, that belong to the rows of the weight that are there.
inline LinearCall own_part(const LinearCall& call) {
  const Weight& weight = *call.weight;
  LinearCall own = call;
  own.y = Matrix(call.y.data + weight.first_row, call.y.rows, weight.rows, call.y.stride);
  if (call.groups > 1 && weight.rows < weight.all_rows()) {
    const int64_t group_rows = weight.all_rows() / call.groups;
    own.groups = static_cast<int>(weight.rows / group_rows);
    own.x = Matrix(call.x.data + weight.first_row / group_rows * weight.cols, call.x.rows,
                   own.groups * weight.cols, call.x.stride);
  }
  return own;
}

// The heads [begin, end) of `head_count` that the rank has.
inline ShardRange own_heads(int64_t head_count, int head_unit, const RankGroup& ranks) {
  return ShardedAxis{head_count, head_unit}.of(ranks);
}

inline Matrix columns_of(Matrix x, int64_t first, int64_t count) {
  return Matrix(x.data + first, x.rows, count, x.stride);
}

// q of these heads alone.
inline Matrix own_queries(Matrix q, int64_t head_dim, int head_unit, const RankGroup& ranks) {
  const ShardRange heads = own_heads(q.cols / head_dim, head_unit, ranks);
  return columns_of(q, heads.begin * head_dim, heads.size() * head_dim);
}

inline AttentionArgs own_part(const AttentionArgs& args, const RankGroup& ranks) {
  const ShardRange heads = own_heads(args.head_count, args.head_unit, ranks);
  AttentionArgs own = args;
  own.q = columns_of(args.q, heads.begin * args.head_dim, heads.size() * args.head_dim);
  own.out = columns_of(args.out, heads.begin * args.head_dim, heads.size() * args.head_dim);
  own.sink = {args.sink.data + heads.begin, heads.size()};
  own.head_count = static_cast<int>(heads.size());
  return own;
}

// The product over the input columns of the weight that are there.
inline LinearCall own_columns(const LinearCall& call) {
  LinearCall own = call;
  own.x = columns_of(call.x, call.weight->first_col, call.weight->cols);
  return own;
}

}  // namespace ft
