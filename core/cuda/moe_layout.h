// Scratch of one moe() call, and the two ways through the experts:
// by tensor core (moe.cu) and in float32 (moe_exact.cu).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/kernels.h"

namespace ft::cuda {

// Rows sorted by expert, in device memory. Pair p is slot p % k of row p / k.
struct MoePlan {
  int32_t* active = nullptr;  // [1] experts that have rows
  int32_t* expert = nullptr;  // [active] their ids, ascending
  int32_t* offset = nullptr;  // [active] first of their pairs in `pair`
  int32_t* count = nullptr;   // [active]
  int32_t* pair = nullptr;    // [rows*k]
};

struct MoeScratch {
  MoePlan plan;
  void* routed_input = nullptr;  // tiled: units of x as the routed experts see it; exact: q8() of x
  void* shared_input = nullptr;
  void* hidden = nullptr;  // [rows*k + rows, inner], routed pairs then shared rows; tiled: bf16, exact: float
  void* hidden_quantized = nullptr;  // exact: q8() of hidden
  float* out = nullptr;              // [rows*k + rows, shards that are there, d]
};

// Whether moe_tiled takes these shapes and formats.
bool moe_fits_tiles(const ExpertTable& table);
// Both leave each expert's partial sums in scratch.out.
// Where there are few rows, moe_tiled also leaves their sum in `sum`, and returns whether it has.
struct ExpertSum {
  Matrix y;
  bool round = false;
  int32_t* tickets = nullptr;
};
bool moe_tiled(Queue queue, Matrix x, const ExpertTable& table, const int32_t* ids, const float* weights,
               int k, float swiglu_limit, const MoeScratch& scratch, const ExpertSum& sum,
               const Router* router);
// The router, then MoeScratch::plan and the inputs of the experts, in one launch.
void launch_router(Queue queue, const Router& router, const ExpertTable& table, const MoeScratch& scratch,
                   int32_t* ticket);
void moe_exact(Queue queue, bool official, Matrix x, const ExpertTable& table, const int32_t* ids,
               const float* weights, int k, float swiglu_limit, const MoeScratch& scratch);

}  // namespace ft::cuda
