// Ops on one vector at a time, and compressed entries: those that do not depend on each other share launches.
#include "core/check.h"
#include "core/cuda/cuda_backend.h"
#include "core/ranks/own_part.h"

namespace ft::cuda {

namespace {

RotationTable table_of(const Rotations& rotations) {
  return {rotations.data, static_cast<int32_t>(rotations.rope_dim)};
}

}  // namespace

void CudaBackend::begin_independent() {
  FT_CHECK(!collecting_);
  collecting_ = true;
  ++scope_;
}

void CudaBackend::end_independent() {
  FT_CHECK(collecting_);
  collecting_ = false;
  launch_row_jobs();
  launch_compress_jobs();
}

void CudaBackend::launch_row_jobs() {
  if (row_job_count_ > 0) run_row_jobs(queue(), official(), rms_norm_eps_, row_jobs_.data(), row_job_count_);
  row_job_count_ = 0;
}

void CudaBackend::launch_compress_jobs() {
  if (compress_job_count_ > 0)
    ft::cuda::compress(queue(), official(), rms_norm_eps_, compress_jobs_.data(), compress_job_count_);
  compress_job_count_ = 0;
}

void CudaBackend::add(const RowJob& job) {
  if (!collecting_) ++scope_;
  if (official() && open_.add(job, scope_)) return;
  row_jobs_[static_cast<size_t>(row_job_count_++)] = job;
  if (!collecting_ || row_job_count_ == kRowJobs) launch_row_jobs();
}

void CudaBackend::do_query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations) {
  FT_CHECK(head_dim % 2 == 0 && q.stride % 2 == 0, head_dim, q.stride);
  RowJob job;
  job.kind = RowJob::Kind::kQuery;
  job.x = own_queries(q, head_dim, head_unit, ranks());
  job.head_dim = static_cast<int32_t>(head_dim);
  job.rotations = table_of(rotations);
  if (job.x.cols > 0) add(job);
}

void CudaBackend::do_index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  RowJob job;
  job.kind = RowJob::Kind::kIndexQuery;
  job.x = q;
  job.head_dim = static_cast<int32_t>(head_dim);
  job.rotations = table_of(rotations);
  add(job);
}

void CudaBackend::do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst) {
  RowJob job;
  job.kind = RowJob::Kind::kStoreKv;
  job.x = x;
  job.weight = norm.data;
  job.rotations = table_of(rotations);
  job.out = raw.f32();
  job.dst = dst;
  add(job);
}

void CudaBackend::do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions,
                                           int ratio, float* state, const int32_t* dst) {
  RowJob job;
  job.kind = RowJob::Kind::kStoreCompressorRows;
  job.x = k;
  job.g = g;
  job.weight = ape.data;
  job.positions = positions;
  job.ratio = ratio;
  job.out = state;
  job.dst = dst;
  add(job);
}

void CudaBackend::do_compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                              int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key,
                              CacheRows out, const int32_t* dst) {
  const CompressJob job = {
      state,        sources,   count, ratio, static_cast<int32_t>(head_dim), norm.data, table_of(rotations),
      is_index_key, out.f32(), dst};
  if (!collecting_) ++scope_;
  if (official() && open_.add(job, scope_)) return;
  compress_jobs_[static_cast<size_t>(compress_job_count_++)] = job;
  if (!collecting_ || compress_job_count_ == kCompressJobs) launch_compress_jobs();
}

}  // namespace ft::cuda
