// CUDA's runtime without a device: memory is the host's, kernels are noted down instead of run. What the host side of
// core/cuda does around its kernels runs with it as it is: sizes, addresses, recording, exchanges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ft::test {

struct Launch {
  std::string kernel;  // its function's name, without namespaces and arguments
  unsigned grid[3] = {};
  unsigned threads = 0;
  size_t shared_bytes = 0;
  unsigned cluster = 1;
};

// What the calling thread has launched since the last call.
std::vector<Launch> take_launches();

// Whether the calling thread records a graph; and what the graph is to do when it is launched. Launches that are only
// noted do nothing then.
bool recording();
void record(std::function<void()> work);

// How often device memory was allocated, on any thread.
int64_t allocations();

// What a device would have refused on any thread: one line each.
std::vector<std::string> refused();

}  // namespace ft::test
