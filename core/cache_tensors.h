// The memory of a cache: the tensors of its layers and the page tables that the ops read.
// It knows addresses, and nothing of sequences that are open or of pages that are free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cache_layout.h"
#include "core/device_memory.h"

namespace ft {

// Rows to copy: row from[i] of a tensor to row to[i].
struct RowMoves {
  std::vector<int32_t> from;
  std::vector<int32_t> to;

  void reserve(int64_t count) {
    from.reserve(static_cast<size_t>(count));
    to.reserve(static_cast<size_t>(count));
  }
  void clear() {
    from.clear();
    to.clear();
  }
  void add(int32_t source, int32_t destination) {
    from.push_back(source);
    to.push_back(destination);
  }
};

class CacheTensors {
 public:
  // `layout` must outlive the tensors.
  CacheTensors(DeviceMemory& memory, const CacheLayout& layout);

  const LayerCache& layer(int index) const { return layers_[static_cast<size_t>(index)]; }
  // Per ratio: int32 [sequences, page_stride], the address of the first entry of each page.
  std::span<const int32_t* const> page_tables() const { return page_tables_; }
  void set_page(size_t ratio, SequenceId sequence, size_t index, int32_t page);

  // Each move within every tensor that it concerns: window rows of all layers, or
  // state rows or entries of the layers of ratio index `ratio`. At most CacheLayout::copy_rows_max() moves.
  void move_window(const RowMoves& moves);
  void move_states(size_t ratio, const RowMoves& moves);
  void move_entries(size_t ratio, const RowMoves& moves);

  // gathered[i] = tensor[rows[i]] for rows of `row_bytes`, and back. `gathered` is device memory; at most
  // copy_rows_max() rows.
  void gather(void* gathered, const CacheRows& tensor, int64_t row_bytes, std::span<const int32_t> rows);
  void scatter(const CacheRows& tensor, const void* gathered, int64_t row_bytes,
               std::span<const int32_t> rows);

  DeviceMemory& memory() { return memory_; }

 private:
  const int32_t* upload_indices(std::span<const int32_t> from, std::span<const int32_t> to);
  void copy(void* to, const void* from, int64_t row_bytes, const int32_t* indices, int64_t count);

  DeviceMemory& memory_;
  const CacheLayout& layout_;
  std::vector<LayerCache> layers_;
  std::vector<Buffer> tensors_;
  std::vector<Buffer> tables_;  // per ratio
  std::vector<const int32_t*> page_tables_;
  std::vector<int32_t> counting_;  // 0, 1, 2, ...: the rows of packed memory
  Buffer indices_;                 // [2 * copy_rows_max] int32
};

}  // namespace ft
