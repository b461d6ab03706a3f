// Exchanges of backends whose memory is the host's.
#pragma once

#include <cstdint>

#include "core/shards.h"
#include "core/tensor.h"

namespace ft {

// partials[r] = what rank r has at its place, for arrays [ranks, floats_each]; nothing to do on one rank.
void gather_partials(const RankGroup& ranks, float* partials, int64_t floats_each);

// Floats that gather_columns takes as scratch.
int64_t gather_scratch_floats(const RankGroup& ranks, int64_t rows, const ShardedAxis& columns);

// y[:, columns of rank r] of rank r is on every rank (Backend::gather_columns).
void gather_columns(const RankGroup& ranks, Matrix y, const ShardedAxis& columns, float* scratch);

}  // namespace ft
