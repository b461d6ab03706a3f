// `foretoken-eval bench memory`: what this machine reads, copies and multiplies at most.
#pragma once

#include <cstdio>

#include "core/backend_factory.h"
#include "core/error.h"

namespace ft::eval {

struct BenchMemoryOptions {
  CpuOptions cpu;
  double seconds = 1.0;  // per figure
  int rounds = 5;        // all figures once per round, so that a disturbance meets all of them
};

// Prints the median and the range of each figure over the rounds: read and copy bandwidth of all threads,
// with small and with huge pages, and float32 operations per second.
Result<void> run_bench_memory(const BenchMemoryOptions& options, std::FILE* out);

}  // namespace ft::eval
