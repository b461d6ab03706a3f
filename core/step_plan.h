// The index lists of one forward call: which rows each row attends to, which blocks it closes, where its
// state goes. Built on the host from the rows alone and uploaded in one piece; the forward pass then runs
// without looking at the batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/batch.h"
#include "core/cache_layout.h"
#include "core/device_memory.h"
#include "core/rope.h"

namespace ft {

// What the rows of one call see of each other.
enum class Visibility : uint8_t {
  // A row sees its ancestors, itself, and the committed window before them (docs/spec/model.md 5.4).
  kCausal,
  // A row sees the last W committed rows and all rows of its sequence in the call (docs/spec/dspark.md 1.4).
  kBlock,
};

// Lists of one compression ratio (docs/spec/model.md 5.4).
struct RatioPlan {
  int ratio = 0;
  CompressedView view;
  const int32_t* state_dst = nullptr;  // [rows] staged state row of each row
  int64_t close_count = 0;             // blocks closed by rows of this call (or padding up to it)
  const int32_t* close_sources =
      nullptr;                         // [close_count, blocks*ratio] state addresses, -1 before position 0
  const int32_t* close_dst = nullptr;  // [close_count] staged entry address
  Rotations close_rotations;           // of each block's first position
};

// Everything a forward call needs to know about its rows, as addresses of the backend.
struct StepPlan {
  int64_t rows = 0;
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows]
  const int32_t* raw_dst = nullptr;    // [rows] staged window row of each row
  const int32_t* window = nullptr;     // [rows, window_width]
  int32_t window_width = 0;
  Rotations plain;       // of the positions, for SWA layers and drafts
  Rotations compressed;  // of the positions, for CSA/HCA layers
  std::vector<RatioPlan> ratios;

  const RatioPlan& ratio(int value) const {
    for (const RatioPlan& plan : ratios)
      if (plan.ratio == value) return plan;
    __builtin_unreachable();
  }
};

// Builds plans in memory that is sized once, at construction.
class StepPlanner {
 public:
  // `layout` and `memory` must outlive the planner.
  StepPlanner(const CacheLayout& layout, const ModelConfig& config, DeviceMemory& memory);

  // Plans rows[first..] of a transaction whose sequences have committed `lengths[sequence]` tokens.
  // `page_tables[i]` is the uploaded page table of layout.ratios[i]. The result is valid until the next call.
  const StepPlan& plan(std::span<const Row> rows, int64_t first, std::span<const int64_t> lengths,
                       std::span<const int32_t* const> page_tables, Visibility visibility);

 private:
  struct Region;
  void plan_window(std::span<const Row> rows, int64_t first, std::span<const int64_t> lengths,
                   Visibility visibility);
  void plan_ratio(size_t index, std::span<const Row> rows, int64_t first, std::span<const int64_t> lengths,
                  const int32_t* page_table);
  template <class T>
  T* take(int64_t count, const T*& device);

  const CacheLayout& layout_;
  DeviceMemory& memory_;
  RopeTable plain_;
  RopeTable compressed_;
  std::vector<uint8_t> host_;
  Buffer device_;
  size_t used_ = 0;
  // Per row of the transaction: nearest row on its path, itself included, that closes a block.
  std::vector<int32_t> closer_;
  StepPlan plan_;
};

}  // namespace ft
