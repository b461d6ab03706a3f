// How fast this machine moves memory: the roofline that kernel times are held against.
#pragma once

#include "core/backend.h"

namespace ft::eval {

struct MemorySpeed {
  double read_bytes_per_s = 0.0;
  double copy_bytes_per_s = 0.0;  // bytes read and bytes written, both counted
};

// Host memory: each of `threads` threads (0 = all cores) sums, then copies, its own part of 512 MiB; the best
// of runs that fill about `seconds`.
MemorySpeed measure_host_memory(int threads, double seconds);

// Memory of a device: copy_rows over 512 MiB, the best of runs that fill about `seconds`; stands for reading
// too.
MemorySpeed measure_device_memory(Backend& backend, double seconds);

}  // namespace ft::eval
