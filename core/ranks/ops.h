// One struct per op: its arguments, the list of them that travels, and the call. The order of the list `AllOps` is
// the numbering on the wire.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "core/ranks/op_stream.h"

namespace ft::ranks {

struct CopyRowsOp {
  void* destination;
  const void* source;
  int64_t row_bytes;
  const int32_t* src;
  const int32_t* dst;
  int64_t count;
  template <class A>
  void fields(A& a) {
    a(destination, source, row_bytes, src, dst, count);
  }
  void run(Backend& b) const { b.copy_rows(destination, source, row_bytes, src, dst, count); }
};

struct EmbedOp {
  const int32_t* tokens;
  WeightArgument table;
  int stream_count;
  Matrix streams;
  template <class A>
  void fields(A& a) {
    a(tokens, table, stream_count, streams);
  }
  void run(Backend& b) const { b.embed(tokens, table.get(), stream_count, streams); }
};

struct GatherRowsOp {
  const int32_t* ids;
  WeightArgument table;
  Matrix out;
  template <class A>
  void fields(A& a) {
    a(ids, table, out);
  }
  void run(Backend& b) const { b.gather_rows(ids, table.get(), out); }
};

struct HcPreOp {
  Matrix streams;
  const HyperConnectionWeights* hc;
  Vector norm;
  Matrix y, post, comb;
  template <class A>
  void fields(A& a) {
    a(streams, hc, norm, y, post, comb);
  }
  void run(Backend& b) const { b.hc_pre(streams, *hc, norm, y, post, comb); }
};

struct HcPostOp {
  Matrix streams;
  SublayerOutput before;
  template <class A>
  void fields(A& a) {
    a(streams, before.output, before.post, before.comb);
  }
  void run(Backend& b) const { b.hc_post(streams, before); }
};

struct HcPostPreOp {
  Matrix streams;
  SublayerOutput before;
  const HyperConnectionWeights* hc;
  Vector norm;
  Matrix y, post, comb;
  template <class A>
  void fields(A& a) {
    a(streams, before.output, before.post, before.comb, hc, norm, y, post, comb);
  }
  void run(Backend& b) const { b.hc_post_pre(streams, before, *hc, norm, y, post, comb); }
};

struct HcHeadOp {
  Matrix streams;
  const HeadCollapseWeights* head;
  Matrix y;
  template <class A>
  void fields(A& a) {
    a(streams, head, y);
  }
  void run(Backend& b) const { b.hc_head(streams, *head, y); }
};

struct StreamMeanOp {
  Matrix streams;
  int stream_count;
  Matrix out;
  template <class A>
  void fields(A& a) {
    a(streams, stream_count, out);
  }
  void run(Backend& b) const { b.stream_mean(streams, stream_count, out); }
};

struct CombineStreamsOp {
  Matrix e, h, streams;
  template <class A>
  void fields(A& a) {
    a(e, h, streams);
  }
  void run(Backend& b) const { b.combine_streams(e, h, streams); }
};

struct RmsNormOp {
  Matrix x;
  Vector weight;
  Matrix y;
  template <class A>
  void fields(A& a) {
    a(x, weight, y);
  }
  void run(Backend& b) const { b.rms_norm(x, weight, y); }
};

struct LinearOp {
  Matrix x;
  WeightArgument weight;
  Matrix y;
  LinearInput input;
  LinearOutput output;
  int groups;
  template <class A>
  void fields(A& a) {
    a(x, weight, y, input, output, groups);
  }
  void run(Backend& b) const { b.linear(x, weight.get(), y, input, output, groups); }
};

struct LinearsOp {
  std::vector<LinearCall> calls;
  template <class A>
  void fields(A& a) {
    a(calls);
  }
  void run(Backend& b) const { b.linears(calls); }
};

struct ShardLinearOp {
  Matrix x;
  WeightArgument weight;
  int64_t unit;
  Matrix y;
  LinearInput input;
  LinearOutput output;
  template <class A>
  void fields(A& a) {
    a(x, weight, unit, y, input, output);
  }
  void run(Backend& b) const { b.shard_linear(x, weight.get(), unit, y, input, output); }
};

struct GatherColumnsOp {
  Matrix y;
  int64_t unit;
  template <class A>
  void fields(A& a) {
    a(y, unit);
  }
  void run(Backend& b) const { b.gather_columns(y, unit); }
};

struct QueryNormRopeOp {
  Matrix q;
  int64_t head_dim;
  int head_unit;
  Rotations rotations;
  template <class A>
  void fields(A& a) {
    a(q, head_dim, head_unit, rotations);
  }
  void run(Backend& b) const { b.query_norm_rope(q, head_dim, head_unit, rotations); }
};

struct StoreKvOp {
  Matrix x;
  Vector norm;
  Rotations rotations;
  CacheRows raw;
  const int32_t* dst;
  template <class A>
  void fields(A& a) {
    a(x, norm, rotations, raw, dst);
  }
  void run(Backend& b) const { b.store_kv(x, norm, rotations, raw, dst); }
};

struct StoreCompressorRowsOp {
  Matrix k, g;
  Vector ape;
  const int32_t* positions;
  int ratio;
  float* state;
  const int32_t* dst;
  template <class A>
  void fields(A& a) {
    a(k, g, ape, positions, ratio, state, dst);
  }
  void run(Backend& b) const { b.store_compressor_rows(k, g, ape, positions, ratio, state, dst); }
};

struct CompressOp {
  const float* state;
  const int32_t* sources;
  int64_t count;
  int ratio;
  int64_t head_dim;
  Vector norm;
  Rotations rotations;
  bool is_index_key;
  CacheRows out;
  const int32_t* dst;
  template <class A>
  void fields(A& a) {
    a(state, sources, count, ratio, head_dim, norm, rotations, is_index_key, out, dst);
  }
  void run(Backend& b) const {
    b.compress(state, sources, count, ratio, head_dim, norm, rotations, is_index_key, out, dst);
  }
};

struct IndexQueryOp {
  Matrix q;
  int64_t head_dim;
  Rotations rotations;
  template <class A>
  void fields(A& a) {
    a(q, head_dim, rotations);
  }
  void run(Backend& b) const { b.index_query(q, head_dim, rotations); }
};

struct IndexSelectOp {
  Matrix q, weights;
  float weight_scale;
  KeyRows keys;
  int64_t head_dim;
  CompressedView view;
  int top_k;
  int32_t* selected;
  bool wants_scores;
  Matrix scores;
  template <class A>
  void fields(A& a) {
    a(q, weights, weight_scale, keys, head_dim, view, top_k, selected, wants_scores, scores);
  }
  void run(Backend& b) {
    b.index_select(q, weights, weight_scale, keys, head_dim, view, top_k, selected,
                   wants_scores ? &scores : nullptr);
  }
};

struct AttendOp {
  AttentionArgs args;
  bool sees_all;
  CompressedView all;  // args.all_visible, which points here when the op runs
  template <class A>
  void fields(A& a) {
    a(args.q, args.raw, args.window, args.window_width, args.compressed, args.selected, args.selected_width,
      sees_all, all, args.sink, args.head_count, args.head_unit, args.head_dim, args.inverse, args.out);
  }
  void run(Backend& b) {
    args.all_visible = sees_all ? &all : nullptr;
    b.attend(args);
  }
};

struct RouteOp {
  Matrix x;
  const MoeWeights* weights_of;
  const int32_t* tokens;
  int k;
  float route_scale;
  int32_t* ids;
  float* weights;
  template <class A>
  void fields(A& a) {
    a(x, weights_of, tokens, k, route_scale, ids, weights);
  }
  void run(Backend& b) const { b.route(x, *weights_of, tokens, k, route_scale, ids, weights); }
};

struct MoeOp {
  Matrix x;
  const MoeWeights* weights_of;
  const int32_t* ids;
  const float* weights;
  int k;
  float swiglu_limit;
  Matrix y;
  template <class A>
  void fields(A& a) {
    a(x, weights_of, ids, weights, k, swiglu_limit, y);
  }
  void run(Backend& b) const { b.moe(x, *weights_of, ids, weights, k, swiglu_limit, y); }
};

using AllOps = std::tuple<CopyRowsOp, EmbedOp, GatherRowsOp, HcPreOp, HcPostOp, HcPostPreOp, HcHeadOp,
                          StreamMeanOp, CombineStreamsOp, RmsNormOp, LinearOp, LinearsOp, ShardLinearOp,
                          GatherColumnsOp, QueryNormRopeOp, StoreKvOp, StoreCompressorRowsOp, CompressOp,
                          IndexQueryOp, IndexSelectOp, AttendOp, RouteOp, MoeOp>;

template <class Op, size_t index = 0>
constexpr uint8_t op_code() {
  if constexpr (std::is_same_v<Op, std::tuple_element_t<index, AllOps>>)
    return static_cast<uint8_t>(index);
  else
    return op_code<Op, index + 1>();
}

}  // namespace ft::ranks
