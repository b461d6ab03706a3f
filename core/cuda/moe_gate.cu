// The router of few rows in one launch: the gate's logits, the experts of each row, the sort by expert; beside them the
// input of the experts.
#include <algorithm>

#include "core/cuda/last_block.cuh"
#include "core/cuda/linear_few.cuh"
#include "core/cuda/moe_layout.h"
#include "core/cuda/moe_parts.cuh"

namespace ft::cuda {

namespace {

struct RouterArgs {
  Product gate;
  int32_t gate_blocks;
  int32_t m;
  RouteCall route;
  MoePlan plan;
  ExpertInput input;
  int32_t* ticket;
};

// The first blocks make logits, and the last of these to be done goes on; the others make units, a thread each.
__global__ void __launch_bounds__(kFewThreads) router_kernel(const __grid_constant__ RouterArgs args) {
  auto* const units = dynamic_shared<uint4>();
  __shared__ FewScratch scratch;
  const int block = static_cast<int>(blockIdx.x);
  if (block >= args.gate_blocks) {
    wait_for_previous();
    make_expert_unit(args.input, static_cast<int64_t>(block - args.gate_blocks) * kFewThreads + threadIdx.x);
    return;
  }
  few_block(args.gate, InputNorm(), block, args.m, units, scratch);
  if (!is_last_block(args.ticket, args.gate_blocks)) return;
  // The units are read: their memory takes the scores.
  const int warp = static_cast<int>(threadIdx.x) / 32;
  float* scores = reinterpret_cast<float*>(units) + warp * route_floats(args.route.experts, args.route.k);
  for (int r = warp; r < args.m; r += kFewWarps) route_row(args.route, r, scores);
  __syncthreads();
  plan_pairs(args.route.ids, args.m * args.route.k, args.route.experts, args.plan,
             reinterpret_cast<int32_t*>(units));
}

}  // namespace

bool moe_takes_router(const ExpertTable& table, const LinearTask& gate) {
  return moe_fits_tiles(table) && few_rows(gate);
}

void launch_router(Queue queue, const Router& router, const ExpertTable& table, const MoeScratch& scratch,
                   int32_t* ticket) {
  RouterArgs args = {};
  args.gate = describe(router.gate);
  args.gate_blocks = static_cast<int32_t>(ceil_div(args.gate.rows, few_block_rows(args.gate)));
  args.m = static_cast<int32_t>(router.gate.x.rows);
  args.route = router.route;
  args.plan = scratch.plan;
  args.input = expert_input(router.gate.x, table, scratch);
  args.ticket = ticket;
  const unsigned unit_blocks = ceil_div(router.gate.x.rows * router.gate.x.cols / 8, kFewThreads);
  const size_t scores =
      static_cast<size_t>(kFewWarps * route_floats(router.route.experts, router.route.k)) * sizeof(float);
  launch(queue, router_kernel, dim3(static_cast<unsigned>(args.gate_blocks) + unit_blocks), kFewThreads,
         std::max(few_shared_bytes(router.gate), scores), 1, args);
}

}  // namespace ft::cuda
