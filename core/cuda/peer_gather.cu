// An all-gather in one shot: each block writes its slices into the mailboxes of all peers and counts there that they
// have come, then waits for the count of its own namesakes. Blocks of different numbers do not wait for each other, so
// how many run at once does not matter.
#include <algorithm>

#include "core/cuda/device_math.cuh"
#include "core/cuda/peer_gather.h"

namespace ft::cuda {

namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ void publish(uint32_t* count, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(count), "r"(value) : "memory");
}

__device__ __forceinline__ uint32_t observe(const uint32_t* count) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(count) : "memory");
  return value;
}

__device__ __forceinline__ uint64_t now_ns() {
  uint64_t value;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(value));
  return value;
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const __grid_constant__ PeerGather peers, const Word* own, Word* all, int64_t words) {
  constexpr int kSliceWords = kPeerSliceBytes / sizeof(Word);
  const int block = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  PeerMailbox& mine = *peers.mailboxes[peers.rank];
  wait_for_previous();
  uint32_t slice = mine.sent[block];
  for (int64_t first = int64_t{block} * kSliceWords; first < words;
       first += int64_t{gridDim.x} * kSliceWords) {
    const int count = static_cast<int>(min(int64_t{kSliceWords}, words - first));
    const uint32_t turn = ++slice % 2;
    for (int i = thread; i < count; i += kThreads) {
      const Word word = own[first + i];
      for (int peer = 0; peer < peers.ranks; ++peer) {
        if (peer == peers.rank) {
          all[peer * words + first + i] = word;
        } else {
          reinterpret_cast<Word*>(peers.mailboxes[peer]->slices[turn][peers.rank][block])[i] = word;
        }
      }
    }
    __threadfence_system();
    __syncthreads();
    if (thread < peers.ranks && thread != peers.rank) {
      publish(&peers.mailboxes[thread]->arrived[block][peers.rank], slice);
      const uint64_t begun = now_ns();
      // Counts wrap around; nobody is ever two ahead.
      while (static_cast<int32_t>(observe(&mine.arrived[block][thread]) - slice) < 0) {
        if (*reinterpret_cast<volatile uint32_t*>(&mine.lost) != 0) break;
        if (now_ns() - begun > peers.patience_ns) {
          *reinterpret_cast<volatile uint32_t*>(&mine.lost) = static_cast<uint32_t>(thread) + 1;
          *reinterpret_cast<volatile uint32_t*>(peers.lost) = static_cast<uint32_t>(thread) + 1;
          __threadfence_system();
          break;
        }
      }
    }
    __syncthreads();
    for (int peer = 0; peer < peers.ranks; ++peer) {
      if (peer == peers.rank) continue;
      const Word* from = reinterpret_cast<const Word*>(mine.slices[turn][peer][block]);
      // Past L1, which may hold the slice that was there before.
      for (int i = thread; i < count; i += kThreads) all[peer * words + first + i] = __ldcg(from + i);
    }
    __syncthreads();  // the slice is read before the next one tells the peers so
  }
  if (thread == 0) mine.sent[block] = slice;
}

template <class Word>
void launch_gather(Queue queue, const PeerGather& peers, const void* own, void* all, size_t bytes) {
  const unsigned blocks =
      std::min(ceil_div(static_cast<int64_t>(bytes), kPeerSliceBytes), static_cast<unsigned>(kPeerBlocks));
  launch(queue, gather_kernel<Word>, dim3(blocks), kThreads, 0, 1, peers, static_cast<const Word*>(own),
         static_cast<Word*>(all), static_cast<int64_t>(bytes / sizeof(Word)));
}

}  // namespace

void peer_gather(Queue queue, const PeerGather& peers, const void* own, void* all, size_t bytes) {
  const auto aligned = [](const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; };
  if (aligned(own) && aligned(all) && bytes % 16 == 0) {
    launch_gather<uint4>(queue, peers, own, all, bytes);
  } else {
    launch_gather<uint32_t>(queue, peers, own, all, bytes);
  }
}

}  // namespace ft::cuda
