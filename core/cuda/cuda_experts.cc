// The mixture of experts on the device: routing, and the table by which kernels find a layer's experts.
#include <utility>

#include "core/check.h"
#include "core/cuda/cuda_backend.h"

namespace ft::cuda {

namespace {

const uint8_t* bytes_of(const Weight& weight) {
  return static_cast<const uint8_t*>(weight.data);
}

}  // namespace

void CudaBackend::do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                           int32_t* ids, float* weights) {
  const int64_t experts = moe.gate.rows;
  FT_CHECK(k <= 32 && experts <= 4096, k, experts);
  // Behind the logits comes what run_linear may use.
  const size_t logits_bytes = (static_cast<size_t>(x.rows * experts) * sizeof(float) + 255) / 256 * 256;
  const size_t input_bytes = static_cast<size_t>(x.rows * x.cols) * sizeof(float);
  uint8_t* memory = static_cast<uint8_t*>(scratch(logits_bytes + input_bytes));
  const Matrix logits(reinterpret_cast<float*>(memory), x.rows, experts);
  const LinearTask task = {x, moe.gate, logits, false, false, 1};
  if (!official() || !tensor_core_shape(task)) {
    linear_exact(queue_, task, nullptr);
  } else if (few_rows(task)) {
    linear_few(queue_, &task, 1);
  } else {
    linear_many(queue_, task, memory + logits_bytes);
  }
  route_select(queue_, logits.data, x.rows, static_cast<int>(experts),
               moe.tid2eid == nullptr ? moe.bias.data : nullptr, moe.tid2eid, tokens, k, route_scale, ids,
               weights);
}

const ExpertTable& CudaBackend::expert_table(const MoeWeights& moe) {
  const ExpertWeights& first = moe.experts.front();
  std::vector<ExpertTable::Expert> experts;
  experts.reserve(moe.experts.size() + 1);
  const auto add = [&](const ExpertWeights& e, const ExpertWeights& like) {
    FT_CHECK(e.w1.format == like.w1.format && e.w2.format == like.w1.format && e.w3.format == like.w1.format);
    FT_CHECK(e.w1.rows == first.w1.rows && e.w1.cols == first.w1.cols && e.w2.rows == first.w2.rows);
    experts.push_back(
        {{bytes_of(e.w1), bytes_of(e.w3), bytes_of(e.w2)}, {e.w1.scale, e.w3.scale, e.w2.scale}});
  };
  for (const ExpertWeights& expert : moe.experts) add(expert, first);
  add(moe.shared, moe.shared);
  PlacedExperts& placed = expert_tables_[first.w1.data];
  if (placed.experts == experts) return placed.table;
  FT_CHECK(!recording_);
  const void* device = place(experts.data(), experts.size() * sizeof(experts[0]));
  FT_CHECK(device != nullptr, "out of device memory for a table of experts");
  placed.table.experts = static_cast<const ExpertTable::Expert*>(device);
  placed.table.count = static_cast<int32_t>(moe.experts.size());
  placed.table.routed_format = first.w1.format;
  placed.table.shared_format = moe.shared.w1.format;
  placed.table.width = static_cast<int32_t>(first.w1.cols);
  placed.table.inner = static_cast<int32_t>(first.w1.rows);
  placed.experts = std::move(experts);
  return placed.table;
}

void CudaBackend::do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                         float swiglu_limit, Matrix y) {
  FT_CHECK(k <= 32, k);
  const ExpertTable& table = expert_table(moe);
  FT_CHECK(table.width == x.cols, table.width, x.cols);
  void* memory = scratch(moe_scratch_bytes(table, x.rows, k, official()));
  ft::cuda::moe(queue_, official(), x, table, ids, weights, k, swiglu_limit, memory, y);
}

}  // namespace ft::cuda
