// Compressed entries (docs/spec/model.md 3.5).
#include <algorithm>

#include "core/cuda/compress_entry.cuh"

namespace ft::cuda {

namespace {

constexpr unsigned kThreadsMax = 512;

struct Jobs {
  CompressJob job[kCompressJobs];
  int count;
};

// One block per entry.
template <bool kOfficial>
__global__ void __launch_bounds__(kThreadsMax) compress_kernel(const __grid_constant__ Jobs jobs, float eps) {
  int index = 0;
  int64_t entry = blockIdx.x;
  while (index + 1 < jobs.count && entry >= jobs.job[index].count) entry -= jobs.job[index++].count;
  wait_for_previous();
  make_entry<kOfficial>(jobs.job[index], entry, eps, dynamic_shared<float>());
}

}  // namespace

void compress(Queue queue, bool official, float eps, const CompressJob* list, int count) {
  Jobs jobs = {};
  jobs.count = count;
  unsigned entries = 0;
  unsigned threads = 0;
  size_t shared = 0;
  for (int i = 0; i < count; ++i) {
    const CompressJob& job = jobs.job[i] = list[i];
    entries += static_cast<unsigned>(job.count);
    threads = std::max(threads, std::min(kThreadsMax, ceil_div(job.head_dim, 32) * 32));
    shared = std::max(shared, entry_bytes(job));
  }
  launch(queue, official ? compress_kernel<true> : compress_kernel<false>, dim3(entries), threads, shared, 1,
         jobs, eps);
}

}  // namespace ft::cuda
