// The three kinds of attention layer of V4, which config.json names by their compression ratio.
// Source: docs/spec/model.md 1 and 3.5.
#pragma once

#include <cstdint>

namespace ft {

enum class LayerKind : uint8_t {
  kSwa,  // sliding-window attention only: nothing is compressed (ratio 0)
  kCsa,  // compressed sparse attention: the window and the entries that the indexer selects (kCsaRatio)
  kHca,  // heavily compressed attention: the window and every visible entry (any other ratio)
};

inline constexpr int kCsaRatio = 4;

constexpr LayerKind layer_kind(int ratio) {
  return ratio == 0 ? LayerKind::kSwa : ratio == kCsaRatio ? LayerKind::kCsa : LayerKind::kHca;
}

// Blocks of `ratio` positions that one compressed entry is pooled from (`coff` of the released code):
// a CSA entry reads the block before its own as well.
// So a state row has this many halves, one for each entry that reads it.
constexpr int pooled_blocks(int ratio) {
  return layer_kind(ratio) == LayerKind::kCsa ? 2 : 1;
}

}  // namespace ft
