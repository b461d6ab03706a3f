#include "core/cpu/parallel.h"

#include <omp.h>

#include <algorithm>

namespace ft::cpu {

Parallel::Parallel(int threads) : threads_(threads > 0 ? threads : std::max(1, omp_get_num_procs())) {}

void Parallel::split(int64_t count, void (*body)(void*, int64_t, int64_t, int), void* context) const {
#pragma omp parallel num_threads(threads_)
  {
    // The runtime may grant fewer threads than asked for: the ranges follow the team that really runs.
    const int64_t team = omp_get_num_threads();
    const int64_t thread = omp_get_thread_num();
    const int64_t begin = count * thread / team;
    const int64_t end = count * (thread + 1) / team;
    if (begin < end) body(context, begin, end, static_cast<int>(thread));
  }
}

}  // namespace ft::cpu
