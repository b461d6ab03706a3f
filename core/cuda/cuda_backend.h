// The backend of one NVIDIA device: checks and sizes on the host, kernels (kernels.h) on one stream.
//
// Two kinds of op wait for what follows them.
// Linears of few rows are collected and launched together as long as they do not depend on each other,
// and an hc_post is applied by the hc_pre that reads its streams next. Any other op flushes.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/backend.h"
#include "core/cuda/kernels.h"
#include "core/cuda/memory.h"

namespace ft::cuda {

class CudaBackend final : public Backend {
 public:
  // `device` has been checked to run this build's kernels.
  CudaBackend(Numerics numerics, int device, std::string description);
  ~CudaBackend() override;

  std::string_view name() const override { return "cuda"; }
  std::string description() const override { return description_; }

  const void* place(const void* host, size_t bytes) override;
  // Ends the program where the device has not enough memory.
  Buffer allocate(size_t bytes) override;
  void upload(void* destination, const void* host, size_t bytes) override;
  void download(void* host, const void* source, size_t bytes) override;
  // The first call with a key runs the ops, the second records them as a graph, later ones replay it.
  // Recorded steps are dropped when scratch has to grow and at reserve().
  void run(uint64_t shape_key, const std::function<void()>& ops) override;
  bool fixed_shapes() const override { return true; }
  // hc_mult must be 4.
  void reserve(const ModelConfig& config, int64_t rows) override;
  void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                 const int32_t* dst, int64_t count) override;

  void embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) override;
  void gather_rows(const int32_t* ids, const Weight& table, Matrix out) override;
  void hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
              Matrix comb) override;
  void hc_post(Matrix streams, Matrix sublayer_out, Matrix post, Matrix comb) override;
  void hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) override;
  void stream_mean(Matrix streams, int stream_count, Matrix out) override;
  void combine_streams(Matrix e, Matrix h, Matrix streams) override;

  void rms_norm(Matrix x, Vector weight, Matrix y) override;
  void linear(Matrix x, const Weight& weight, Matrix y, LinearInput input, LinearOutput output,
              int groups) override;

  void query_norm_rope(Matrix q, int64_t head_dim, Rotations rotations) override;
  void store_kv(Matrix x, Vector norm, Rotations rotations, float* raw, const int32_t* dst) override;
  void attend(const AttentionArgs& args) override;

  void store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                             float* state, const int32_t* dst) override;
  void compress(const float* state, const int32_t* sources, int64_t count, int ratio, int64_t head_dim,
                Vector norm, Rotations rotations, bool is_index_key, float* out, const int32_t* dst) override;

  void index_query(Matrix q, int64_t head_dim, Rotations rotations) override;
  void index_select(Matrix q, Matrix weights, float weight_scale, const float* keys, int64_t head_dim,
                    const CompressedView& view, int top_k, int32_t* selected, Matrix* scores) override;

  void route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale, int32_t* ids,
             float* weights) override;
  void moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
           float swiglu_limit, Matrix y) override;

  // For measurements: kernels wait for the end of the one before, as without overlapped launches.
  void set_overlap(bool overlap) { queue_.overlap = overlap; }
  cudaStream_t stream() const { return queue_.stream; }
  // Launches what waits; measurements call it before they record an event.
  void flush();

 private:
  // A recorded step.
  struct Recording {
    bool seen = false;
    cudaGraphExec_t graph = nullptr;
  };

  // The addresses of a layer's experts, and where the device finds them.
  struct PlacedExperts {
    std::vector<ExpertTable::Expert> experts;
    ExpertTable table;
  };

  bool official() const { return numerics() == Numerics::kOfficial; }
  void flush_linears();
  void flush_post();
  void run_linear(const LinearTask& task);
  void* scratch(size_t bytes);
  void forget_recordings();
  const ExpertTable& expert_table(const MoeWeights& moe);

  std::string description_;
  Queue queue_;
  WeightSlabs weights_;
  Scratch scratch_;
  Staging staging_;
  bool recording_ = false;
  std::unordered_map<uint64_t, Recording> recordings_;
  std::vector<LinearTask> linears_;                               // launched together by the next flush
  PendingPost post_;                                              // sublayer_out.data null: none
  std::unordered_map<const void*, PlacedExperts> expert_tables_;  // by the first expert's weights
};

}  // namespace ft::cuda
