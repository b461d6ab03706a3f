// The ragged batch: what a forward pass is asked to compute, row by row (ARCHITECTURE.md, idea 1).
#pragma once

#include <cstdint>

namespace ft {

// Index of a sequence slot of a KvCache.
using SequenceId = int32_t;

// Row::parent of a row that continues the committed sequence directly.
inline constexpr int32_t kCommitted = -1;

// One token to run through the model.
// A prefill chunk is a chain of rows, a plain decode step is one row, a draft is a tree.
struct Row {
  int32_t token = 0;
  int32_t position = 0;  // parent's position + 1, or the sequence's committed length
  SequenceId sequence = 0;
  int32_t parent = kCommitted;  // index of an earlier row of the same transaction and sequence, or kCommitted
};

}  // namespace ft
