// Runs CUDA kernels, compiled as C++, on the host: a thread of a block is a fiber, a block of a cluster is a thread of
// the system. Barriers that not all threads reach, shuffles of lanes that are elsewhere and dynamic shared memory that
// was never written show up; races between threads that no barrier orders do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace ft::emulator {

struct Index {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

// Where the calling fiber is.
struct Place {
  Index thread;
  Index block;
  Index block_dim;
  Index grid_dim;
};
extern constinit thread_local const Place* current_place;
inline const Place& place() {
  return *current_place;
}

// Runs `thread` for every thread of a grid; blocks of a cluster at the same time. Dynamic shared memory begins with
// garbage. Ends the program with the reason where threads wait for each other in vain.
void run(Index grid, unsigned threads, size_t shared_bytes, unsigned cluster,
         const std::function<void()>& thread);

// Of the calling fiber's block.
void* dynamic_shared();
void sync_block();
bool sync_block_or(bool value);

// All living lanes of a warp call this at the same time, and then see the words of lane i at [i]. Valid until the next
// exchange of the lane but one.
struct Words {
  uint64_t word[3] = {};
};
const Words* exchange(const Words& own);

// Of the calling fiber's cluster.
unsigned block_rank();
void sync_cluster();
// Where the block `rank` of the cluster has what `address`, in its static or dynamic shared memory, is here.
void* shared_of(unsigned rank, const void* address);

}  // namespace ft::emulator
