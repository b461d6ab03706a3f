// Where everything of a cache lies: sizes of its tensors and the addresses in them. Integers only.
//
// Each layer has up to five tensors. The rows of a tensor are the committed ones first, then one per row of a
// transaction, where it is staged, then one that padding is written to (docs/spec/model.md 5.2):
//   raw, window KV              ring per sequence, slot = position mod ring_rows
//   state, compressor inputs    ring per sequence, slot = position mod ring_rows; CSA: also the indexer's
//   compressed, index_keys      pages of entries, entry j = position / ratio; pages belong to a PagePool
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/batch.h"
#include "core/cache_rows.h"
#include "core/layer_kind.h"
#include "core/model_config.h"

namespace ft {

// Entries of one page cover this many tokens where the ratio divides it: the granularity of prefix sharing,
// and of reservations (docs/spec/model.md 5.2).
inline constexpr int32_t kPageTokens = 128;

// How far below its longest length a sequence can be rewound, in tokens.
inline constexpr int32_t kRewindMax = 128;

// Explicit limits of a cache.
struct CacheLimits {
  int32_t sequences = 1;  // open at the same time
  int32_t rows = 512;     // staged by one transaction
  int64_t context = 0;    // tokens of one sequence, at most
  // Tokens of all sequences and snapshots whose compressed entries fit; rounded up to pages.
  int64_t total_tokens = 0;
};

// Addresses of one layer's tensors, for the ops, row after row. Null where the layer has none.
struct LayerCache {
  CacheRows raw;          // [*, head_dim]
  CacheRows compressed;   // [*, head_dim]
  CacheRows state;        // [*, 2 * pooled_blocks * head_dim], float32
  CacheRows index_keys;   // [*, index_head_dim]
  CacheRows index_state;  // [*, 2 * pooled_blocks * index_head_dim], float32
};
using LayerTensor = CacheRows LayerCache::*;

// The layers of one compression ratio share rings, pages and index lists.
struct RatioLayout {
  int ratio = 0;
  int32_t ring_rows = 0;  // committed state rows per sequence
  int32_t entries_per_page = 0;
  int32_t page_count = 0;
  int32_t page_stride = 0;  // page table columns per sequence: pages of the longest sequence

  int blocks() const { return pooled_blocks(ratio); }
  LayerKind kind() const { return layer_kind(ratio); }
  int64_t page_tokens() const { return int64_t{ratio} * entries_per_page; }
  int64_t pages_of(int64_t tokens) const { return (tokens + page_tokens() - 1) / page_tokens(); }
  int32_t entry(int32_t page, int64_t index) const {
    return page * entries_per_page + static_cast<int32_t>(index % entries_per_page);
  }
};

struct CacheLayout {
  static constexpr int kNotCompressed = -1;

  RowFormat format = RowFormat::kF32;  // of window rows, entries and index keys
  int64_t head_dim = 0;
  int64_t rope_dim = 0;
  int64_t index_head_dim = 0;
  int32_t sequences = 0;
  int32_t rows_max = 0;  // staged rows
  int32_t window = 0;
  int32_t ring_rows = 0;    // committed window rows per sequence
  std::vector<int> layers;  // per layer: index into `ratios`, or kNotCompressed
  std::vector<RatioLayout> ratios;

  // The layout of a cache for layers with these ratios. `total_tokens` stands for the one in `limits`.
  static CacheLayout make(const ModelConfig& config, std::span<const int> layer_ratios,
                          const CacheLimits& limits, int64_t total_tokens, RowFormat format);

  int64_t key_row_bytes() const { return key_bytes(format, head_dim, rope_dim); }
  int64_t index_key_row_bytes() const { return index_key_bytes(format, index_head_dim); }
  // Of all a tensor's rows.
  RowFormat format_of(LayerTensor tensor) const {
    const bool is_state = tensor == &LayerCache::state || tensor == &LayerCache::index_state;
    return is_state ? RowFormat::kF32 : format;
  }

  int32_t raw_ring(SequenceId sequence, int64_t position) const {
    return sequence * ring_rows + static_cast<int32_t>(position % ring_rows);
  }
  int32_t raw_staged(int64_t row) const { return sequences * ring_rows + static_cast<int32_t>(row); }
  int32_t state_ring(const RatioLayout& r, SequenceId sequence, int64_t position) const {
    return sequence * r.ring_rows + static_cast<int32_t>(position % r.ring_rows);
  }
  int32_t state_staged(const RatioLayout& r, int64_t row) const {
    return sequences * r.ring_rows + static_cast<int32_t>(row);
  }
  int32_t entry_staged(const RatioLayout& r, int64_t row) const {
    return r.page_count * r.entries_per_page + static_cast<int32_t>(row);
  }
  int32_t staged_dummy() const { return rows_max; }

  // Most rows that one list of addresses names: the staged rows, a snapshot's rows or a page's entries.
  int64_t copy_rows_max() const;

  // Bytes of the tensors that layers of `r` keep per state row and per compressed entry:
  // visit(tensor, row_bytes).
  template <class Visit>
  void visit_state(const RatioLayout& r, Visit visit) const {
    constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));
    visit(&LayerCache::state, 2 * r.blocks() * head_dim * kFloatBytes);
    if (r.kind() == LayerKind::kCsa)
      visit(&LayerCache::index_state, 2 * r.blocks() * index_head_dim * kFloatBytes);
  }
  template <class Visit>
  void visit_entries(const RatioLayout& r, Visit visit) const {
    visit(&LayerCache::compressed, key_row_bytes());
    if (r.kind() == LayerKind::kCsa) visit(&LayerCache::index_keys, index_key_row_bytes());
  }
  // Every tensor of one layer: visit(tensor, rows, row_bytes).
  template <class Visit>
  void visit_tensors(int layer, Visit visit) const {
    const int64_t staged = int64_t{rows_max} + 1;
    visit(&LayerCache::raw, int64_t{sequences} * ring_rows + staged, key_row_bytes());
    const int index = layers[static_cast<size_t>(layer)];
    if (index == kNotCompressed) return;
    const RatioLayout& r = ratios[static_cast<size_t>(index)];
    const int64_t entries = int64_t{r.page_count} * r.entries_per_page + staged;
    const int64_t states = int64_t{sequences} * r.ring_rows + staged;
    visit_entries(r, [&](LayerTensor tensor, int64_t row_bytes) { visit(tensor, entries, row_bytes); });
    visit_state(r, [&](LayerTensor tensor, int64_t row_bytes) { visit(tensor, states, row_bytes); });
  }

  // Bytes of all tensors.
  int64_t bytes() const;
  // Bytes of one page in all layers of ratio index `ratio`.
  int64_t page_bytes(size_t ratio) const;
};

}  // namespace ft
