// The scalar backend: each op of backend.h written down as plainly as it can be, on one thread.
//
// Every sum, mean, norm, softmax and transcendental function is float64, in ascending order of its index (dot
// products in four interleaved chains). Every value that the contract names is rounded once to float32, and
// then by rb() in kOfficial. Differences to the contract: scratch comes from the heap, so ops do allocate
// after reserve(), which only takes note of the config.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "core/dtype.h"

namespace ft::reference {

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(Numerics numerics, RankGroup ranks) : Backend(numerics, ranks) {}

  std::string_view name() const override { return "reference"; }
  std::string description() const override { return "scalar float64, one thread"; }

  const void* place(const void* host, size_t bytes) override;
  Buffer allocate(size_t bytes) override;
  void upload(void* destination, const void* host, size_t bytes) override;
  void download(void* host, const void* source, size_t bytes) override;
  void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                 const int32_t* dst, int64_t count) override;

 private:
  void do_reserve(const ModelConfig&, int64_t) override {}  // the heap needs no plan
  void do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) override;
  void do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) override;
  void do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                 Matrix comb) override;
  void do_hc_post(Matrix streams, const SublayerOutput& before) override;
  void do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) override;
  void do_stream_mean(Matrix streams, int stream_count, Matrix out) override;
  void do_combine_streams(Matrix e, Matrix h, Matrix streams) override;
  void do_rms_norm(Matrix x, Vector weight, Matrix y) override;
  void do_linear(const LinearCall& call) override;
  void do_shard_linear(const LinearCall& call, int64_t unit) override;
  void do_gather_columns(Matrix y, int64_t unit) override;
  void do_query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations) override;
  void do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst) override;
  void do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                float* state, const int32_t* dst) override;
  void do_compress(const float* state, const int32_t* sources, int64_t count, int ratio, int64_t head_dim,
                   Vector norm, Rotations rotations, bool is_index_key, CacheRows out,
                   const int32_t* dst) override;
  void do_index_query(Matrix q, int64_t head_dim, Rotations rotations) override;
  void do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys, int64_t head_dim,
                       const CompressedView& view, int top_k, int32_t* selected, Matrix* scores) override;
  void do_attend(const AttentionArgs& args) override;
  void do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                int32_t* ids, float* weights) override;
  void do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
              float swiglu_limit, Matrix y) override;

  bool official() const { return numerics() == Numerics::kOfficial; }
  // rb() of the contract, from a float64 intermediate through float32.
  float rb(double value) const {
    const float single = static_cast<float>(value);
    return official() ? round_bf16(single) : single;
  }

  // rsqrt(mean of squares + rms_norm_eps)
  double rms_factor(const float* x, int64_t count) const;
  // y = rb(x * rms_factor * weight); x and y may be the same.
  void rms_norm_row(const float* x, Vector weight, float* y) const;
  // Turns interleaved pairs of the `rope_dim` values at `x` by (cos, sin)
  // pairs, conjugated if `inverse`; then rb.
  void rotate(float* x, const float* rotation, int64_t rope_dim, bool inverse) const;
  // Hadamard and rb.
  void hadamard_row(float* x, int64_t count) const;
  // rb(sum_i weights_i X_i) of one row of streams, the collapse of hc_pre and hc_head.
  void collapse(const float* streams, const std::vector<double>& weights, int64_t width, float* y) const;
  // Contiguous rows of x as a linear with a weight of `format` sees them: q8() in kOfficial for fp8 and fp4.
  std::vector<float> quantized_rows(Matrix x, WeightFormat format) const;
  // One expert on rows that are already quantized_rows: what goes into w2, [rows, own columns].
  std::vector<float> expert_hidden(const ExpertWeights& expert, const std::vector<const float*>& rows,
                                   const std::vector<float>& route_weights, float swiglu_limit) const;
  // y = the sum over all shards of `partials` ([own shards][rows of y, columns of y]), each rounded to float32; then
  // rb() if `round`.
  void sum_shards(const std::vector<std::vector<double>>& partials, Matrix y, bool round);
};

}  // namespace ft::reference
