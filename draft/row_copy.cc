#include "draft/row_copy.h"

#include <numeric>

#include "core/check.h"

namespace ft::draft {

RowCopy::RowCopy(Backend& backend, int64_t rows_max)
    : backend_(backend),
      in_order_(static_cast<size_t>(rows_max)),
      indices_(backend.allocate(static_cast<size_t>(rows_max) * 2 * sizeof(int32_t))) {
  std::iota(in_order_.begin(), in_order_.end(), 0);
}

void RowCopy::run(Matrix to, std::span<const int32_t> to_rows, Matrix from,
                  std::span<const int32_t> from_rows) {
  FT_CHECK(to_rows.size() == from_rows.size() && to_rows.size() <= in_order_.size(), to_rows.size(),
           from_rows.size(), in_order_.size());
  FT_CHECK(to.cols == from.cols && to.stride == to.cols && from.stride == from.cols, to.cols, from.cols);
  if (to_rows.empty()) return;
  auto* indices = static_cast<int32_t*>(indices_.data());
  backend_.upload(indices, from_rows.data(), from_rows.size_bytes());
  backend_.upload(indices + in_order_.size(), to_rows.data(), to_rows.size_bytes());
  backend_.copy_rows(to.data, from.data, to.cols * static_cast<int64_t>(sizeof(float)), indices,
                     indices + in_order_.size(), static_cast<int64_t>(to_rows.size()));
}

void RowCopy::gather(Matrix to, Matrix from, std::span<const int32_t> from_rows) {
  run(to, std::span(in_order_).first(from_rows.size()), from, from_rows);
}

void RowCopy::scatter(Matrix to, std::span<const int32_t> to_rows, Matrix from) {
  run(to, to_rows, from, std::span(in_order_).first(to_rows.size()));
}

}  // namespace ft::draft
