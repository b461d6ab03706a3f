// Sums over shards, and what ranks fetch from each other.
#include <algorithm>

#include "core/check.h"
#include "core/cuda/cuda_backend.h"
#include "core/ranks/own_part.h"

namespace ft::cuda {

namespace {

size_t matrix_bytes(const Matrix& matrix) {
  return (static_cast<size_t>(matrix.rows * matrix.cols) * sizeof(float) + 255) / 256 * 256;
}

}  // namespace

ColumnParts parts_of(const ShardedAxis& axis, const RankGroup& ranks) {
  FT_CHECK(axis.size < (int64_t{1} << 31), axis.size);
  ColumnParts parts;
  const ShardEdges edges = own_edges(axis, ranks);
  parts.count = edges.count;
  for (int i = 0; i <= edges.count; ++i) parts.at[i] = static_cast<int32_t>(edges.at[static_cast<size_t>(i)]);
  for (int shard = 0; shard < kShards; ++shard)
    parts.widest = std::max(parts.widest, static_cast<int32_t>(axis.edge(shard + 1) - axis.edge(shard)));
  return parts;
}

size_t CudaBackend::rank_sum_bytes(const Matrix& y) const {
  return ranks().size == 1 ? 0 : matrix_bytes(y) * static_cast<size_t>(1 + ranks().size);
}

Matrix CudaBackend::own_sum(const Matrix& y, void* memory) const {
  return ranks().size == 1 ? y : Matrix(static_cast<float*>(memory), y.rows, y.cols);
}

void CudaBackend::add_ranks(const Matrix& own, bool round, Matrix y) {
  if (ranks().size == 1) return;
  float* all = own.data + matrix_bytes(own) / sizeof(float);
  exchange_->all_gather(queue(), own.data, all, static_cast<size_t>(own.rows * own.cols) * sizeof(float));
  ft::cuda::add_ranks(queue(), all, ranks().size, round, y);
}

void CudaBackend::clear(const Matrix& own) {
  use_device(queue_.device);
  check_cuda(
      cudaMemsetAsync(own.data, 0, static_cast<size_t>(own.rows * own.cols) * sizeof(float), queue().stream),
      "an empty sum");
}

void CudaBackend::do_gather_columns(Matrix y, int64_t unit) {
  const ShardedAxis axis{y.cols, unit};
  ColumnParts of;
  of.count = ranks().size;
  for (int rank = 0; rank <= of.count; ++rank)
    of.at[rank] = static_cast<int32_t>(axis.edge(rank * kShards / of.count));
  for (int rank = 0; rank < of.count; ++rank) of.widest = std::max(of.widest, of.at[rank + 1] - of.at[rank]);
  const int own = ranks().rank;
  Matrix packed(nullptr, y.rows, of.widest);
  packed.data = static_cast<float*>(scratch(rank_sum_bytes(packed)));
  float* all = packed.data + matrix_bytes(packed) / sizeof(float);
  pack_columns(queue(), y, of.at[own], of.at[own + 1] - of.at[own], of.widest, packed.data);
  exchange_->all_gather(queue(), packed.data, all,
                        static_cast<size_t>(packed.rows * packed.cols) * sizeof(float));
  unpack_columns(queue(), all, of, own, y);
}

}  // namespace ft::cuda
