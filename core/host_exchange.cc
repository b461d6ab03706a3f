#include "core/host_exchange.h"

namespace ft {
namespace {

// Ranks send equally many columns: as many as the one with the most has.
int64_t widest_part(const RankGroup& ranks, const ShardedAxis& columns) {
  int64_t widest = 0;
  for (int r = 0; r < ranks.size; ++r)
    widest = std::max(widest, columns.of(RankGroup{r, ranks.size, nullptr}).size());
  return widest;
}

}  // namespace

void gather_partials(const RankGroup& ranks, float* partials, int64_t floats_each) {
  if (ranks.size == 1) return;
  ranks.comm->all_gather(partials + ranks.rank * floats_each, partials,
                         static_cast<size_t>(floats_each) * sizeof(float));
}

int64_t gather_scratch_floats(const RankGroup& ranks, int64_t rows, const ShardedAxis& columns) {
  return ranks.size == 1 ? 0 : ranks.size * rows * widest_part(ranks, columns);
}

void gather_columns(const RankGroup& ranks, Matrix y, const ShardedAxis& columns, float* scratch) {
  const int64_t width = widest_part(ranks, columns);
  float* own = scratch + ranks.rank * y.rows * width;
  const ShardRange mine = columns.of(ranks);
  for (int64_t r = 0; r < y.rows; ++r) {
    float* end = std::copy_n(y.row(r) + mine.begin, mine.size(), own + r * width);
    std::fill(end, own + (r + 1) * width, 0.0f);
  }
  gather_partials(ranks, scratch, y.rows * width);
  for (int rank = 0; rank < ranks.size; ++rank) {
    const ShardRange part = columns.of(RankGroup{rank, ranks.size, nullptr});
    const float* from = scratch + rank * y.rows * width;
    for (int64_t r = 0; r < y.rows; ++r) std::copy_n(from + r * width, part.size(), y.row(r) + part.begin);
  }
}

}  // namespace ft
