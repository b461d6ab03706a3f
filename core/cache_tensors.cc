#include "core/cache_tensors.h"

#include <numeric>

#include "core/check.h"

namespace ft {

CacheTensors::CacheTensors(DeviceMemory& memory, const CacheLayout& layout)
    : memory_(memory), layout_(layout), layers_(layout.layers.size()) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layout.visit_tensors(static_cast<int>(layer), [&](LayerTensor tensor, int64_t rows, int64_t row_bytes) {
      tensors_.push_back(memory.allocate(static_cast<size_t>(rows * row_bytes)));
      layers_[layer].*tensor = CacheRows(tensors_.back().data(), layout.format_of(tensor));
    });
  }
  for (const RatioLayout& r : layout.ratios) {
    tables_.push_back(memory.allocate(static_cast<size_t>(layout.sequences) *
                                      static_cast<size_t>(r.page_stride) * sizeof(int32_t)));
    page_tables_.push_back(static_cast<const int32_t*>(tables_.back().data()));
  }
  counting_.resize(static_cast<size_t>(layout.copy_rows_max()));
  std::iota(counting_.begin(), counting_.end(), 0);
  indices_ = memory.allocate(counting_.size() * 2 * sizeof(int32_t));
}

void CacheTensors::set_page(size_t ratio, SequenceId sequence, size_t index, int32_t page) {
  const RatioLayout& r = layout_.ratios[ratio];
  const int32_t address = r.entry(page, 0);
  int32_t* table = static_cast<int32_t*>(tables_[ratio].data());
  memory_.upload(table + static_cast<int64_t>(sequence) * r.page_stride + static_cast<int64_t>(index),
                 &address, sizeof(address));
}

const int32_t* CacheTensors::upload_indices(std::span<const int32_t> from, std::span<const int32_t> to) {
  FT_CHECK(from.size() == to.size() && from.size() <= counting_.size(), from.size(), to.size());
  int32_t* indices = static_cast<int32_t*>(indices_.data());
  memory_.upload(indices, from.data(), from.size_bytes());
  memory_.upload(indices + from.size(), to.data(), to.size_bytes());
  return indices;
}

void CacheTensors::copy(void* to, const void* from, int64_t row_bytes, const int32_t* indices,
                        int64_t count) {
  memory_.copy_rows(to, from, row_bytes, indices, indices + count, count);
}

void CacheTensors::move_window(const RowMoves& moves) {
  const int32_t* indices = upload_indices(moves.from, moves.to);
  const auto count = static_cast<int64_t>(moves.from.size());
  for (const LayerCache& layer : layers_)
    copy(layer.raw.data, layer.raw.data, layout_.key_row_bytes(), indices, count);
}

void CacheTensors::move_states(size_t ratio, const RowMoves& moves) {
  const int32_t* indices = upload_indices(moves.from, moves.to);
  const auto count = static_cast<int64_t>(moves.from.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (layout_.layers[layer] != static_cast<int>(ratio)) continue;
    layout_.visit_state(layout_.ratios[ratio], [&](LayerTensor tensor, int64_t row_bytes) {
      void* rows = (layers_[layer].*tensor).data;
      copy(rows, rows, row_bytes, indices, count);
    });
  }
}

void CacheTensors::move_entries(size_t ratio, const RowMoves& moves) {
  if (moves.from.empty()) return;
  const int32_t* indices = upload_indices(moves.from, moves.to);
  const auto count = static_cast<int64_t>(moves.from.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (layout_.layers[layer] != static_cast<int>(ratio)) continue;
    layout_.visit_entries(layout_.ratios[ratio], [&](LayerTensor tensor, int64_t row_bytes) {
      void* rows = (layers_[layer].*tensor).data;
      copy(rows, rows, row_bytes, indices, count);
    });
  }
}

void CacheTensors::gather(void* gathered, const CacheRows& tensor, int64_t row_bytes,
                          std::span<const int32_t> rows) {
  if (rows.empty()) return;
  const int32_t* indices = upload_indices(rows, std::span(counting_).first(rows.size()));
  copy(gathered, tensor.data, row_bytes, indices, static_cast<int64_t>(rows.size()));
}

void CacheTensors::scatter(const CacheRows& tensor, const void* gathered, int64_t row_bytes,
                           std::span<const int32_t> rows) {
  if (rows.empty()) return;
  const int32_t* indices = upload_indices(std::span(counting_).first(rows.size()), rows);
  copy(tensor.data, gathered, row_bytes, indices, static_cast<int64_t>(rows.size()));
}

}  // namespace ft
