// What lies between a projection and the cache or attention: norms, rotation, simulated quantisation, Hadamard
// transform; one warp for each vector. Several such ops of a layer share a launch.
#include <algorithm>

#include "core/cuda/row_jobs.cuh"

namespace ft::cuda {

namespace {

constexpr int kWarps = 4;

struct Jobs {
  RowJob job[kRowJobs];
  int32_t vectors[kRowJobs];
  int32_t first_block[kRowJobs];
  int count;
  int scratch;  // floats of shared memory for each warp
};

template <bool kOfficial>
__global__ void __launch_bounds__(kWarps * 32) row_jobs_kernel(const __grid_constant__ Jobs jobs, float eps) {
  auto* const shared = dynamic_shared<float>();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int index = 0;
  while (index + 1 < jobs.count && static_cast<int>(blockIdx.x) >= jobs.first_block[index + 1]) ++index;
  const RowJob& job = jobs.job[index];
  const int64_t vector = (static_cast<int64_t>(blockIdx.x) - jobs.first_block[index]) * kWarps + warp;
  float* row = shared + warp * jobs.scratch;
  wait_for_previous();
  if (vector >= jobs.vectors[index]) return;
  run_row_job<kOfficial>(job, eps, vector, lane, row);
}

}  // namespace

void run_row_jobs(Queue queue, bool official, float eps, const RowJob* list, int count) {
  Jobs jobs = {};
  jobs.count = count;
  unsigned blocks = 0;
  for (int i = 0; i < count; ++i) {
    jobs.job[i] = list[i];
    jobs.vectors[i] = static_cast<int32_t>(vector_count(list[i]));
    jobs.first_block[i] = static_cast<int32_t>(blocks);
    jobs.scratch = std::max(jobs.scratch, scratch_floats(list[i]));
    blocks += ceil_div(jobs.vectors[i], kWarps);
  }
  launch(queue, official ? row_jobs_kernel<true> : row_jobs_kernel<false>, dim3(blocks), kWarps * 32,
         static_cast<size_t>(kWarps * jobs.scratch) * sizeof(float), 1, jobs, eps);
}

}  // namespace ft::cuda
