// Compressed entries by number (CompressedView of core/backend.h).
#pragma once

#include "core/cuda/kernels.h"

namespace ft::cuda {

__device__ __forceinline__ int32_t visible_entries(const EntryView& view, int64_t row) {
  return view.committed[row] + view.private_offset[row + 1] - view.private_offset[row];
}

__device__ __forceinline__ int32_t entry_address(const EntryView& view, int64_t row, int32_t j) {
  const int32_t committed = view.committed[row];
  if (j >= committed) return view.private_entry[view.private_offset[row] + j - committed];
  const int64_t page =
      static_cast<int64_t>(view.sequence[row]) * view.page_stride + j / view.entries_per_page;
  return view.page_table[page] + j % view.entries_per_page;
}

}  // namespace ft::cuda
