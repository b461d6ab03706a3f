// The backend of core/backend.h on the host: takes scratch, and splits each op over threads by output.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "core/cpu/experts.h"
#include "core/cpu/linear.h"
#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"
#include "core/cpu/target.h"

namespace ft::cpu {

class CpuBackend final : public Backend {
 public:
  CpuBackend(Numerics numerics, int threads, RankGroup ranks)
      : Backend(numerics, ranks), official_(numerics == Numerics::kOfficial), parallel_(threads) {}

  std::string_view name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("{}, {} thread{}", target_name(), parallel_.threads(),
                       parallel_.threads() == 1 ? "" : "s");
  }

  // Exact numerics cache values that packed rows could not hold.
  RowFormat cache_format() const override { return official_ ? RowFormat::kPacked : RowFormat::kF32; }

  const void* place(const void* host, size_t) override { return host; }

  Buffer allocate(size_t bytes) override {
    AlignedBytes memory = allocate_aligned(bytes);
    std::memset(memory.get(), 0, bytes);
    return Buffer(memory.release(), bytes, [](void* data) { std::free(data); });
  }
  void upload(void* destination, const void* host, size_t bytes) override {
    if (bytes > 0) std::memcpy(destination, host, bytes);
  }
  void download(void* host, const void* source, size_t bytes) override {
    if (bytes > 0) std::memcpy(host, source, bytes);
  }

  void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                 const int32_t* dst, int64_t count) override;

 private:
  void do_reserve(const ModelConfig& config, int64_t rows) override;
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
  void do_linears(std::span<const LinearCall> calls) override;
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

  // In which form rows meet weights, and whether they are quantised before.
  struct RowForm {
    enum class Type : uint8_t { kFloats, kPairedFloats, kBf16, kCodes } type;
    bool quantize;
    bool operator==(const RowForm&) const = default;
  };
  RowForm form(LinearInput input, WeightFormat format, int groups) const;
  // How rows of x, in groups of k columns, take a form, in scratch.
  PrepareJob preparation(Matrix x, int64_t k, int groups, RowForm form);
  // The same, done.
  Prepared prepare(Matrix x, int64_t k, int groups, RowForm form);
  void run_linear(const LinearJob& job);
  void run_jobs(const std::vector<LinearJob>& jobs);
  // y = the sum over all shards of the products `jobs_`, whose columns have these edges.
  void sum_shards(const ShardEdges& edges, Matrix y, bool round);
  int64_t shard_sum_floats(int64_t rows, int64_t outputs) const;
  // fn . streams, unscaled, in scratch.
  const float* mixes(Matrix streams, const Weight& fn);

  bool official_;
  Parallel parallel_;
  Scratch scratch_;
  ExpertGroups groups_;
  std::vector<LinearJob> jobs_;
};

}  // namespace ft::cpu
