// The backend of rank 0 among several: what is asked of it happens on every rank.
//
// Calls are checked, written down and put off; a download, or enough of them, sends the stream to all ranks, which
// play it at the same time as rank 0 does on its own backend. So followers need no scheduler, no cache, no drafter
// and no clock: they know ops and addresses.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/ranks/op_player.h"
#include "core/ranks/op_stream.h"
#include "core/ranks/ranks.h"

namespace ft::ranks {

class MirrorBackend final : public Backend {
 public:
  // `session` is its number among the backends that are mirrored. `limit` is what the rank with the least memory
  // has. `ranks` outlives the backend.
  MirrorBackend(Ranks& ranks, uint32_t session, std::unique_ptr<Backend> local);
  // Tells the followers to drop theirs.
  ~MirrorBackend() override;

  Backend& local() { return *local_; }
  // What the followers load too. Before the first op; outlives the ops.
  void bind(const Checkpoint& checkpoint, MemoryLimit limit);

  std::string_view name() const override { return local_->name(); }
  std::string description() const override;
  MemoryLimit memory_limit() const override { return limit_; }
  const void* place(const void* host, size_t bytes) override { return local_->place(host, bytes); }
  Buffer allocate(size_t bytes) override;
  void upload(void* destination, const void* host, size_t bytes) override;
  // RankError where another rank is lost or differs; every later call throws it again.
  void download(void* host, const void* source, size_t bytes) override;
  void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                 const int32_t* dst, int64_t count) override;
  bool fixed_shapes() const override { return local_->fixed_shapes(); }
  RowFormat cache_format() const override { return local_->cache_format(); }
  std::unique_ptr<StepGraph> make_graph() override;
  PrefillGemm prefill_gemm() const override { return local_->prefill_gemm(); }
  void set_prompt_rows(std::span<const RowRange> ranges) override;
  void begin_independent() override;
  void end_independent() override;

 private:
  class Graph;

  void do_reserve(const ModelConfig& config, int64_t rows) override;
  void do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) override;
  void do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) override;
  void do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                 Matrix comb) override;
  void do_hc_post(Matrix streams, const SublayerOutput& before) override;
  void do_hc_post_pre(Matrix streams, const SublayerOutput& before, const HyperConnectionWeights& hc,
                      Vector norm, Matrix y, Matrix post, Matrix comb) override;
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

  Writer writer() { return Writer(stream_, book_, catalog_.get()); }
  template <class... Fields>
  void verb(Verb verb, const Fields&... fields);
  template <class Op>
  void write(Op op);
  void flush_if_long();
  void flush();

  Ranks& ranks_;
  uint32_t session_;
  std::unique_ptr<Backend> local_;
  MemoryLimit limit_;
  std::unique_ptr<WeightCatalog> catalog_;
  OpPlayer player_;
  AddressBook book_;
  std::vector<uint8_t> stream_;
  BufferId buffers_made_ = 0;
  uint32_t graphs_made_ = 0;
  bool recording_ = false;  // a stream that is cut off inside a recording could not be replayed
};

}  // namespace ft::ranks
