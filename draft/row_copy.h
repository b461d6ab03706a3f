// Copies chosen rows between matrices in backend memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"

namespace ft::draft {

class RowCopy {
 public:
  // Up to rows_max rows at a time.
  RowCopy(Backend& backend, int64_t rows_max);

  // to[to_rows[i], :] = from[from_rows[i], :]. Both have contiguous rows of one width.
  void run(Matrix to, std::span<const int32_t> to_rows, Matrix from, std::span<const int32_t> from_rows);
  // to[i, :] = from[from_rows[i], :].
  void gather(Matrix to, Matrix from, std::span<const int32_t> from_rows);
  // to[to_rows[i], :] = from[i, :].
  void scatter(Matrix to, std::span<const int32_t> to_rows, Matrix from);

 private:
  Backend& backend_;
  std::vector<int32_t> in_order_;  // 0, 1, 2, ...
  Buffer indices_;                 // [2, rows_max]
};

}  // namespace ft::draft
