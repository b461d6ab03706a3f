#include "core/cache_layout.h"

#include <algorithm>

namespace ft {

CacheLayout CacheLayout::make(const ModelConfig& config, std::span<const int> layer_ratios,
                              const CacheLimits& limits, int64_t total_tokens, RowFormat format) {
  CacheLayout layout;
  layout.format = format;
  layout.head_dim = config.head_dim;
  layout.rope_dim = config.qk_rope_head_dim;
  layout.index_head_dim = config.index_head_dim;
  layout.sequences = limits.sequences;
  layout.rows_max = limits.rows;
  layout.window = config.sliding_window;
  layout.ring_rows = config.sliding_window - 1 + kRewindMax;
  for (int ratio : layer_ratios) {
    if (layer_kind(ratio) == LayerKind::kSwa) {
      layout.layers.push_back(kNotCompressed);
      continue;
    }
    const auto known =
        std::ranges::find_if(layout.ratios, [&](const RatioLayout& r) { return r.ratio == ratio; });
    layout.layers.push_back(static_cast<int>(known - layout.ratios.begin()));
    if (known != layout.ratios.end()) continue;
    RatioLayout r;
    r.ratio = ratio;
    r.ring_rows = r.blocks() * ratio - 1 + kRewindMax;
    r.entries_per_page = std::max(1, kPageTokens / ratio);
    r.page_stride = static_cast<int32_t>(r.pages_of(limits.context));
    // Each sequence may hold one partly filled page beyond its share of the total.
    r.page_count = static_cast<int32_t>(r.pages_of(total_tokens)) + limits.sequences;
    layout.ratios.push_back(r);
  }
  return layout;
}

int64_t CacheLayout::copy_rows_max() const {
  int64_t rows = std::max<int64_t>({rows_max, ring_rows, kPageTokens});
  for (const RatioLayout& r : ratios) rows = std::max<int64_t>(rows, r.ring_rows);
  return rows;
}

int64_t CacheLayout::bytes() const {
  int64_t total = 0;
  for (size_t layer = 0; layer < layers.size(); ++layer)
    visit_tensors(static_cast<int>(layer),
                  [&](LayerTensor, int64_t rows, int64_t row_bytes) { total += rows * row_bytes; });
  return total;
}

int64_t CacheLayout::page_bytes(size_t ratio) const {
  const RatioLayout& r = ratios[ratio];
  int64_t of_layer = 0;
  visit_entries(r, [&](LayerTensor, int64_t row_bytes) { of_layer += r.entries_per_page * row_bytes; });
  return of_layer * std::count(layers.begin(), layers.end(), static_cast<int>(ratio));
}

}  // namespace ft
