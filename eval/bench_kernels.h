// Times the ops of a backend at the shapes of V4-Flash, against the memory bandwidth of the machine.
#pragma once

#include <cstdio>
#include <string>

#include "core/backend_factory.h"

namespace ft::eval {

struct BenchKernelOptions {
  std::string backend = "auto";  // auto, cpu, cuda, reference
  CpuOptions cpu;
  double seconds_per_case = 0.5;  // how long each case runs
  double weight_gib = 0.25;       // memory that a case's weights fill, so that no cache holds them
  std::string filter;             // only cases whose name contains this
  std::string json_path;          // also writes the figures there; empty = no file
};

// Measures how fast the machine reads and copies memory (every thread its own part), then each case at 1, 2,
// 4, 6, 8 and 16 rows in official numerics: median time of a call, bytes of weights (or keys) it has to read,
// GB/s (1e9), the fraction of the measured read bandwidth, and the time relative to one row. The host cannot
// read a device's memory, so there the bandwidth of copy_rows (bytes read and written) stands for both.
// Prints a table to `out`. Returns the exit code: 0, or 2 after a message on stderr for an unknown or
// unavailable backend or an unwritable file.
int run_bench_kernels(const BenchKernelOptions& options, std::FILE* out);

}  // namespace ft::eval
