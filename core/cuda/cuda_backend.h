// The backend of one NVIDIA device: sizes and scratch on the host, kernels (kernels.h) on one stream.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/backend.h"
#include "core/cuda/exchange.h"
#include "core/cuda/kernels.h"
#include "core/cuda/memory.h"
#include "core/cuda/open_linears.h"
#include "core/cuda/prompt_linears.h"

namespace ft::cuda {

// Scratch of attention, index scores and experts:
// rows of a call share it, more rows than fit go one group after the other.
inline constexpr size_t kListScratchBytes = size_t{512} << 20;

inline constexpr int64_t kExpertsMax = 4096;

// The shards of the ranks' own part of an axis.
ColumnParts parts_of(const ShardedAxis& axis, const RankGroup& ranks);

class CudaBackend final : public Backend {
 public:
  // `device` has been checked to run this build's kernels. `exchange` is there where there are several ranks, `gemms`
  // where a library computes long prompts, which takes official numerics.
  CudaBackend(Numerics numerics, int device, std::string description, RankGroup ranks,
              std::unique_ptr<Exchange> exchange, std::unique_ptr<GemmLibrary> gemms);
  ~CudaBackend() override;

  std::string_view name() const override { return "cuda"; }
  std::string description() const override { return description_; }

  const void* place(const void* host, size_t bytes) override;
  // Ends the program where the device has not enough memory.
  Buffer allocate(size_t bytes) override;
  MemoryLimit memory_limit() const override;
  void upload(void* destination, const void* host, size_t bytes) override;
  void download(void* host, const void* source, size_t bytes) override;
  // Its first run executes the ops, the second records them as a graph, later ones replay it. A recording is
  // dropped, and made anew, when scratch has grown or reserve() was called since. Where ranks exchange through the
  // host, nothing is recorded.
  std::unique_ptr<StepGraph> make_graph() override;
  bool fixed_shapes() const override { return true; }
  PrefillGemm prefill_gemm() const override {
    return prompt_linears_.has_value() ? PrefillGemm::kCublasLt : PrefillGemm::kInvariant;
  }
  void set_prompt_rows(std::span<const RowRange> ranges) override;
  void begin_independent() override;
  void end_independent() override;
  void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                 const int32_t* dst, int64_t count) override;

 private:
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

  class Graph;

  // The addresses of a layer's experts, and where the device finds them.
  struct PlacedExperts {
    std::vector<ExpertTable::Expert> experts;
    ExpertTable table;
  };

  // The queue, behind every op before. What may share a launch with the next ops is kept open until somebody asks for
  // the queue.
  Queue queue() {
    close();
    return queue_;
  }
  void close();
  int32_t* tickets() const { return static_cast<int32_t*>(joint_memory_.data()); }
  float* router_logits() const { return reinterpret_cast<float*>(tickets() + kTickets); }

  bool official() const { return numerics() == Numerics::kOfficial; }
  LinearTask task_of(const LinearCall& call) const;
  // Whether linear_few computes it.
  bool takes_few(const LinearTask& task) const;
  // `memory` holds linear_scratch_bytes(task).
  void run_linear(const LinearTask& task, void* memory);
  size_t linear_scratch_bytes(const LinearTask& task) const;
  // Calls part(range, is_prompt) for the prompts among `rows` rows and for what lies between them, in order.
  template <class Part>
  void for_parts(int64_t rows, const Part& part) const;
  void launch_linears(std::span<const LinearCall> calls, RowRange rows);
  void launch_prompt_linears(std::span<const LinearCall> calls, RowRange rows);
  void* scratch(size_t bytes);
  const ExpertTable& expert_table(const MoeWeights& moe);

  // A sum of all ranks: each writes its own share, which is y itself on one rank and else lies in memory of
  // rank_sum_bytes(y); then the shares are exchanged and added up to y.
  size_t rank_sum_bytes(const Matrix& y) const;
  Matrix own_sum(const Matrix& y, void* memory) const;
  void add_ranks(const Matrix& own, bool round, Matrix y);
  void clear(const Matrix& own);

  // Ops that may wait for others to share their launch.
  void add(const RowJob& job);
  void launch_row_jobs();
  void launch_compress_jobs();

  std::string description_;
  Queue queue_;  // closed by nobody: see queue()
  WeightSlabs weights_;
  Scratch scratch_;
  Staging staging_;
  std::unique_ptr<Exchange> exchange_;
  std::optional<PromptLinears> prompt_linears_;
  std::vector<RowRange> prompts_;  // of set_prompt_rows; none without prompt_linears_
  bool recording_ = false;
  bool collecting_ = false;  // between begin_independent() and end_independent()
  std::array<RowJob, kRowJobs> row_jobs_;
  int row_job_count_ = 0;
  std::array<CompressJob, kCompressJobs> compress_jobs_;
  int compress_job_count_ = 0;
  Buffer joint_memory_;  // tickets, logits of an open router
  OpenLinears open_;
  uint64_t scope_ = 0;            // of independent ops
  std::optional<Router> router_;  // open
  uint64_t addresses_ = 0;        // counts the changes of addresses that recordings hold
  std::unordered_map<const void*, PlacedExperts> expert_tables_;  // by the first expert's weights
};

}  // namespace ft::cuda
