// How fast this machine moves memory and multiplies: what kernel times are held against.
//
// The denominator of every share is the read bandwidth: a step reads weights and writes next to nothing, and
// a copy counts bytes that a write first fetches.
#pragma once

#include "core/backend.h"

namespace ft::eval {

struct MemorySpeed {
  double read_bytes_per_s = 0.0;
  double copy_bytes_per_s = 0.0;  // bytes read and bytes written, both counted
};

enum class Pages : uint8_t { kSmall, kHuge };  // kHuge: where the system grants them

// Host memory: each of `threads` threads (0 = all cores) sums, then copies, its own part of 1 GiB; medians of
// at least five runs that fill about `seconds` each.
MemorySpeed measure_host_memory(int threads, double seconds, Pages pages = Pages::kHuge);

// Memory of a device: copy_rows over 512 MiB, the median of runs that fill about `seconds`. The host cannot
// read a device's memory, so the copy stands for reading too.
MemorySpeed measure_device_memory(Backend& backend, double seconds);

// float32 multiply-adds per second of `threads` threads on the kernels' instruction set, two operations each;
// the median likewise.
double measure_host_flops(int threads, double seconds);

}  // namespace ft::eval
