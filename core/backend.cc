// What every op demands of its arguments, whatever the backend.
#include "core/backend.h"

#include "core/check.h"

namespace ft {

namespace {

bool is_power_of_two(int64_t value) {
  return value > 0 && (value & (value - 1)) == 0;
}

// Packed rows are for backends that keep caches so.
void check_format(const DeviceMemory& memory, RowFormat format) {
  FT_CHECK(format == RowFormat::kF32 || format == memory.cache_format());
}

// Whether the address ranges of two matrices touch.
bool overlap(const Matrix& a, const Matrix& b) {
  if (a.rows == 0 || b.rows == 0) return false;
  const float* a_end = a.row(a.rows - 1) + a.cols;
  const float* b_end = b.row(b.rows - 1) + b.cols;
  return a.data < b_end && b.data < a_end;
}

void check_table(const Weight& table, int64_t columns) {
  FT_CHECK(table.format == WeightFormat::kBF16 || table.format == WeightFormat::kF32,
           static_cast<int>(table.format));
  FT_CHECK(table.cols == columns, table.cols, columns);
}

void check_hc_pre(const Matrix& streams, const HyperConnectionWeights& hc, const Vector& norm,
                  const Matrix& y, const Matrix& post, const Matrix& comb, int64_t n) {
  FT_CHECK(streams.cols == n * y.cols && post.cols == n && comb.cols == n * n, streams.cols, y.cols, n,
           post.cols, comb.cols);
  FT_CHECK(y.rows == streams.rows && post.rows == streams.rows && comb.rows == streams.rows, streams.rows,
           y.rows, post.rows, comb.rows);
  FT_CHECK(hc.fn.format == WeightFormat::kF32 && hc.fn.rows == (2 + n) * n && hc.fn.cols == streams.cols,
           hc.fn.rows, hc.fn.cols, streams.cols);
  FT_CHECK(hc.base.size == hc.fn.rows && hc.scale.size == 3, hc.base.size, hc.scale.size);
  FT_CHECK(!norm || norm.size == y.cols, norm.size, y.cols);
}

void check_hc_post(const Matrix& streams, const SublayerOutput& before, int64_t n) {
  FT_CHECK(streams.cols == n * before.output.cols && before.post.cols == n && before.comb.cols == n * n,
           streams.cols, before.output.cols, n, before.post.cols, before.comb.cols);
  FT_CHECK(before.output.rows == streams.rows && before.post.rows == streams.rows &&
               before.comb.rows == streams.rows,
           streams.rows, before.output.rows, before.post.rows, before.comb.rows);
}

void check_linear(const LinearCall& call) {
  const Weight& weight = *call.weight;
  FT_CHECK(
      call.groups > 0 && call.x.cols == call.groups * weight.all_cols() && call.y.cols == weight.all_rows() &&
          weight.all_rows() % call.groups == 0 && call.x.rows == call.y.rows,
      call.x.rows, call.x.cols, call.y.rows, call.y.cols, weight.all_rows(), weight.all_cols(), call.groups);
  FT_CHECK(weight.format != WeightFormat::kFp4Row || weight.cols % 32 == 0, weight.cols);
}

// Ranks hold rows of the weight of a linear, whole groups of them.
void check_rows_of_linear(const LinearCall& call) {
  check_linear(call);
  const Weight& weight = *call.weight;
  const int64_t group_rows = weight.all_rows() / call.groups;
  FT_CHECK(weight.cols == weight.all_cols(), weight.cols, weight.all_cols());
  FT_CHECK(call.groups == 1 || (weight.first_row % group_rows == 0 && weight.rows % group_rows == 0),
           weight.first_row, weight.rows, group_rows);
}

void check_heads(const Matrix& q, int64_t head_dim, const Rotations& rotations) {
  FT_CHECK(head_dim > 0 && q.cols % head_dim == 0 && rotations.rope_dim <= head_dim, q.cols, head_dim,
           rotations.rope_dim);
}

}  // namespace

void Backend::reserve(const ModelConfig& config, int64_t rows) {
  rms_norm_eps_ = config.rms_norm_eps;
  hc_eps_ = config.hc_eps;
  hc_sinkhorn_iters_ = config.hc_sinkhorn_iters;
  hc_mult_ = config.hc_mult;
  do_reserve(config, rows);
}

void Backend::embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) {
  FT_CHECK(stream_count > 0 && streams.cols % stream_count == 0, streams.cols, stream_count);
  check_table(table, streams.cols / stream_count);
  if (streams.rows > 0) do_embed(tokens, table, stream_count, streams);
}

void Backend::gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  check_table(table, out.cols);
  if (out.rows > 0) do_gather_rows(ids, table, out);
}

void Backend::hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                     Matrix comb) {
  check_hc_pre(streams, hc, norm, y, post, comb, hc_mult_);
  if (streams.rows > 0) do_hc_pre(streams, hc, norm, y, post, comb);
}

void Backend::hc_post(Matrix streams, const SublayerOutput& before) {
  check_hc_post(streams, before, hc_mult_);
  if (streams.rows > 0) do_hc_post(streams, before);
}

void Backend::hc_post_pre(Matrix streams, const SublayerOutput& before, const HyperConnectionWeights& hc,
                          Vector norm, Matrix y, Matrix post, Matrix comb) {
  check_hc_post(streams, before, hc_mult_);
  check_hc_pre(streams, hc, norm, y, post, comb, hc_mult_);
  if (streams.rows > 0) do_hc_post_pre(streams, before, hc, norm, y, post, comb);
}

void Backend::do_hc_post_pre(Matrix streams, const SublayerOutput& before, const HyperConnectionWeights& hc,
                             Vector norm, Matrix y, Matrix post, Matrix comb) {
  do_hc_post(streams, before);
  do_hc_pre(streams, hc, norm, y, post, comb);
}

void Backend::hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  const int64_t n = hc_mult_;
  FT_CHECK(streams.cols == n * y.cols && head.fn.rows == n && head.fn.cols == streams.cols &&
               y.rows == streams.rows,
           streams.cols, y.cols, head.fn.rows, head.fn.cols, streams.rows, y.rows);
  FT_CHECK(head.fn.format == WeightFormat::kF32 && head.base.size == n && head.scale.size == 1,
           head.base.size, head.scale.size);
  if (streams.rows > 0) do_hc_head(streams, head, y);
}

void Backend::stream_mean(Matrix streams, int stream_count, Matrix out) {
  FT_CHECK(streams.cols == stream_count * out.cols && out.rows == streams.rows, streams.cols, stream_count,
           out.cols, out.rows);
  if (streams.rows > 0) do_stream_mean(streams, stream_count, out);
}

void Backend::combine_streams(Matrix e, Matrix h, Matrix streams) {
  FT_CHECK(h.cols == streams.cols && streams.cols % e.cols == 0, e.cols, h.cols, streams.cols);
  FT_CHECK(e.rows == streams.rows && h.rows == streams.rows, e.rows, h.rows, streams.rows);
  if (streams.rows > 0) do_combine_streams(e, h, streams);
}

void Backend::rms_norm(Matrix x, Vector weight, Matrix y) {
  FT_CHECK(x.cols == weight.size && y.cols == x.cols && y.rows == x.rows, x.cols, weight.size, y.cols, x.rows,
           y.rows);
  if (x.rows > 0) do_rms_norm(x, weight, y);
}

void Backend::linear(Matrix x, const Weight& weight, Matrix y, LinearInput input, LinearOutput output,
                     int groups) {
  const LinearCall call{x, &weight, y, input, output, groups};
  check_rows_of_linear(call);
  if (x.rows > 0) do_linear(call);
}

void Backend::shard_linear(Matrix x, const Weight& weight, int64_t unit, Matrix y, LinearInput input,
                           LinearOutput output) {
  const LinearCall call{x, &weight, y, input, output, 1};
  check_linear(call);
  const ShardedAxis axis{weight.all_cols(), unit};
  FT_CHECK(unit > 0 && (unit % kShardTile == 0 || unit >= weight.all_cols()), unit, weight.all_cols());
  const ShardRange own = axis.of(ranks_);
  FT_CHECK(weight.rows == weight.all_rows() && weight.first_col == own.begin && weight.cols == own.size(),
           weight.rows, weight.all_rows(), weight.first_col, weight.cols, own.begin, own.end);
  FT_CHECK(!overlap(x, y));
  if (x.rows > 0) do_shard_linear(call, unit);
}

void Backend::gather_columns(Matrix y, int64_t unit) {
  FT_CHECK(unit > 0, unit);
  if (y.rows > 0 && ranks_.size > 1) do_gather_columns(y, unit);
}

void Backend::linears(std::span<const LinearCall> calls) {
  for (size_t i = 0; i < calls.size(); ++i) {
    check_rows_of_linear(calls[i]);
    FT_CHECK(calls[i].x.rows == calls[0].x.rows, i, calls[i].x.rows, calls[0].x.rows);
    for (size_t j = 0; j < calls.size(); ++j)
      FT_CHECK(!overlap(calls[i].y, calls[j].x) && (i == j || !overlap(calls[i].y, calls[j].y)), i, j);
  }
  if (!calls.empty() && calls[0].x.rows > 0) do_linears(calls);
}

void Backend::do_linears(std::span<const LinearCall> calls) {
  for (const LinearCall& call : calls) do_linear(call);
}

void Backend::query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations) {
  check_heads(q, head_dim, rotations);
  FT_CHECK(head_unit > 0, head_unit);
  if (q.rows > 0) do_query_norm_rope(q, head_dim, head_unit, rotations);
}

void Backend::store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst) {
  FT_CHECK(x.cols == norm.size && rotations.rope_dim <= x.cols, x.cols, norm.size, rotations.rope_dim);
  check_format(*this, raw.format);
  if (x.rows > 0) do_store_kv(x, norm, rotations, raw, dst);
}

void Backend::store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                    float* state, const int32_t* dst) {
  FT_CHECK(g.cols == k.cols && g.rows == k.rows && ape.size == ratio * k.cols, k.cols, g.cols, k.rows, g.rows,
           ape.size, ratio);
  if (k.rows > 0) do_store_compressor_rows(k, g, ape, positions, ratio, state, dst);
}

void Backend::compress(const float* state, const int32_t* sources, int64_t count, int ratio, int64_t head_dim,
                       Vector norm, Rotations rotations, bool is_index_key, CacheRows out,
                       const int32_t* dst) {
  FT_CHECK(ratio > 0 && norm.size == head_dim && rotations.rope_dim <= head_dim, ratio, norm.size, head_dim,
           rotations.rope_dim);
  FT_CHECK(!is_index_key || is_power_of_two(head_dim), head_dim);
  check_format(*this, out.format);
  if (count > 0) do_compress(state, sources, count, ratio, head_dim, norm, rotations, is_index_key, out, dst);
}

void Backend::index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  check_heads(q, head_dim, rotations);
  FT_CHECK(is_power_of_two(head_dim), head_dim);
  if (q.rows > 0) do_index_query(q, head_dim, rotations);
}

void Backend::index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys, int64_t head_dim,
                           const CompressedView& view, int top_k, int32_t* selected, Matrix* scores) {
  FT_CHECK(q.cols == weights.cols * head_dim && weights.rows == q.rows, q.cols, weights.cols, head_dim,
           q.rows, weights.rows);
  FT_CHECK(top_k > 0 && (scores == nullptr || scores->cols >= view.visible_max), top_k, view.visible_max);
  check_format(*this, keys.format);
  if (q.rows > 0) do_index_select(q, weights, weight_scale, keys, head_dim, view, top_k, selected, scores);
}

void Backend::attend(const AttentionArgs& args) {
  FT_CHECK(args.q.cols == args.head_count * args.head_dim && args.sink.size == args.head_count, args.q.cols,
           args.head_count, args.head_dim, args.sink.size);
  FT_CHECK(args.out.cols == args.q.cols && args.out.rows == args.q.rows, args.q.cols, args.out.cols,
           args.q.rows, args.out.rows);
  FT_CHECK(args.inverse.rope_dim <= args.head_dim && args.head_unit > 0, args.inverse.rope_dim, args.head_dim,
           args.head_unit);
  FT_CHECK(args.selected == nullptr || args.all_visible == nullptr);
  FT_CHECK(static_cast<bool>(args.compressed) == (args.selected != nullptr || args.all_visible != nullptr));
  check_format(*this, args.raw.format);
  check_format(*this, args.compressed.format);
  if (args.q.rows > 0) do_attend(args);
}

void Backend::route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                    int32_t* ids, float* weights) {
  FT_CHECK(x.cols == moe.gate.cols && k > 0 && k <= moe.gate.rows, x.cols, moe.gate.cols, k, moe.gate.rows);
  FT_CHECK(moe.tid2eid != nullptr || moe.bias.size == moe.gate.rows, moe.bias.size, moe.gate.rows);
  if (x.rows > 0) do_route(x, moe, tokens, k, route_scale, ids, weights);
}

void Backend::moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                  float swiglu_limit, Matrix y) {
  FT_CHECK(y.rows == x.rows && y.cols == x.cols && k > 0, y.rows, x.rows, y.cols, x.cols, k);
  const ShardRange own = expert_axis(moe.shared.w1.all_rows()).of(ranks_);
  const int64_t inner = own.size();
  FT_CHECK(moe.shared.w1.first_row == own.begin, moe.shared.w1.first_row, own.begin);
  const auto check_expert = [&](const ExpertWeights& e) {
    FT_CHECK(e.w1.cols == x.cols && e.w3.cols == x.cols && e.w2.rows == x.cols && e.w1.rows == inner &&
                 e.w3.rows == inner && e.w2.cols == inner,
             x.cols, inner, e.w1.rows, e.w1.cols, e.w2.rows, e.w2.cols);
  };
  FT_CHECK(!moe.experts.empty());
  check_expert(moe.experts.front());
  check_expert(moe.shared);
  if (x.rows > 0) do_moe(x, moe, ids, weights, k, swiglu_limit, y);
}

}  // namespace ft
