// The lightning indexer: scores of compressed entries,
// and the exact choice of the best (docs/spec/model.md 3.6).
#pragma once

#include <cstdint>

#include "core/backend.h"

namespace ft::cpu {

// Entries [0, count) that row `row` sees.
inline int32_t visible_count(const CompressedView& view, int64_t row) {
  return view.committed[row] + view.private_offset[row + 1] - view.private_offset[row];
}

// Address of entry `j` of row `row`.
inline int32_t entry_address(const CompressedView& view, int64_t row, int32_t j) {
  const int32_t committed = view.committed[row];
  if (j >= committed) return view.private_entry[view.private_offset[row] + j - committed];
  const int64_t page = int64_t{view.sequence[row]} * view.page_stride + j / view.entries_per_page;
  return view.page_table[page] + j % view.entries_per_page;
}

// Entries scored as one unit of work.
inline constexpr int32_t kScoreChunk = 128;

struct ScoreJob {
  Matrix q;        // [m, HI*cI]
  Matrix weights;  // [m, HI]
  float weight_scale;
  KeyRows keys;
  int64_t head_dim;
  const CompressedView* view;
  // A unit is one of `rows` rows from first_row on, and one of the chunks of kScoreChunk entries.
  int64_t first_row;
  int64_t rows;
  int64_t chunks;
  float* scores;  // row first_row + i writes scores + i * score_stride
  int64_t score_stride;
  float* thread_scratch;  // score_scratch_floats() per thread
  bool official;
};
int64_t score_scratch_floats(int64_t head_count, int64_t head_dim);
// Units [begin, end) of rows * chunks, in an order that suits the number of heads.
void score_units(const ScoreJob& job, int64_t begin, int64_t end, int thread);

// Writes the indices of the `k` largest of scores[0..count), ascending; ties go to the smaller index. 0 < k <= count.
// The k-th largest is found bit by bit, at most 32 passes over the scores. -0 counts as 0.
void select_largest(const float* scores, int32_t count, int32_t k, int32_t* indices);

}  // namespace ft::cpu
