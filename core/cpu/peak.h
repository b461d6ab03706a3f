// The arithmetic that this machine's kernels could do at most, for benchmarks.
#pragma once

#include <cstdint>

namespace ft::cpu {

// Runs at least `count` float32 multiply-adds on the calling thread, in as many independent chains as the
// processor can overlap, and returns how many were run.
int64_t run_multiply_adds(int64_t count);

}  // namespace ft::cpu
