// The mixture of experts on the device: routing, and the table by which kernels find a layer's experts.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/cuda/cuda_backend.h"

namespace ft::cuda {

namespace {

bool same_rows(const Matrix& a, const Matrix& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride;
}

const uint8_t* bytes_of(const Weight& weight) {
  return static_cast<const uint8_t*>(weight.data);
}

}  // namespace

void CudaBackend::do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                           int32_t* ids, float* weights) {
  const int64_t experts = moe.gate.rows;
  FT_CHECK(k <= 32 && experts <= kExpertsMax, k, experts);
  close();
  LinearTask task = {x, moe.gate, Matrix(router_logits(), x.rows, experts), false, false, 1, false, {}};
  const RouteCall call = {router_logits(),
                          static_cast<int32_t>(experts),
                          moe.tid2eid == nullptr ? moe.bias.data : nullptr,
                          moe.tid2eid,
                          tokens,
                          k,
                          route_scale,
                          ids,
                          weights};
  if (takes_few(task)) {
    router_ = Router{task, call};
    return;
  }
  // Behind the logits comes what run_linear may use.
  const size_t logits_bytes = (static_cast<size_t>(x.rows * experts) * sizeof(float) + 255) / 256 * 256;
  uint8_t* memory = static_cast<uint8_t*>(scratch(logits_bytes + linear_scratch_bytes(task)));
  RouteCall select = call;
  select.logits = task.y.data = reinterpret_cast<float*>(memory);
  run_linear(task, memory + logits_bytes);
  route_select(queue(), select, x.rows);
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
  placed.table.whole_inner = static_cast<int32_t>(first.w1.all_rows());
  placed.table.parts = parts_of(expert_axis(first.w1.all_rows()), ranks());
  placed.experts = std::move(experts);
  return placed.table;
}

void CudaBackend::do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                         float swiglu_limit, Matrix y) {
  FT_CHECK(k <= 32, k);
  const size_t sum_bytes = rank_sum_bytes(y);
  if (moe.shared.w1.rows == 0) {
    const Matrix own = own_sum(y, scratch(sum_bytes));
    clear(own);
    add_ranks(own, official(), y);
    return;
  }
  // A router of these experts joins their first launch.
  std::optional<Router> router = std::exchange(router_, std::nullopt);
  const ExpertTable& table = expert_table(moe);
  if (router.has_value() &&
      !(official() && moe_takes_router(table, router->gate) && same_rows(router->gate.x, x) &&
        router->route.ids == ids && router->route.weights == weights && router->route.k == k)) {
    std::swap(router, router_);
    close();
  }
  FT_CHECK(table.width == x.cols, table.width, x.cols);
  const auto bytes = [&](int64_t rows) { return moe_scratch_bytes(table, rows, k, official()); };
  int64_t group = x.rows;
  while (group > 1 && bytes(group) > kListScratchBytes) group = (group + 1) / 2;
  FT_CHECK(!router.has_value() || group == x.rows, group, x.rows);  // few rows are one group
  uint8_t* memory = static_cast<uint8_t*>(scratch(sum_bytes + bytes(group)));
  const Matrix own = own_sum(y, memory);
  const bool round = official() && ranks().size == 1;
  for (int64_t first = 0; first < x.rows; first += group) {
    const int64_t rows = std::min(group, x.rows - first);
    ft::cuda::moe(queue(), official(), Matrix(x.row(first), rows, x.cols, x.stride), table, ids + first * k,
                  weights + first * k, k, swiglu_limit, memory + sum_bytes, round,
                  Matrix(own.row(first), rows, own.cols, own.stride), tickets(),
                  router.has_value() ? &*router : nullptr);
  }
  add_ranks(own, official(), y);
}

}  // namespace ft::cuda
