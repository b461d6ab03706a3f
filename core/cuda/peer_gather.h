// The kernel of make_ipc_exchange, and the memory by which ranks meet.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/launch.h"

namespace ft::cuda {

inline constexpr int kPeerRanks = 8;
inline constexpr int kPeerBlocks = 64;
inline constexpr size_t kPeerSliceBytes = 4096;  // what a block sends at a time

// One rank's memory, into which the others write. A slice has two places in turn: a rank sends a second slice by the
// time that the first may still be read, and a third only when all have begun the second.
struct PeerMailbox {
  uint32_t sent[kPeerBlocks];                 // slices that block b of this rank has sent
  uint32_t arrived[kPeerBlocks][kPeerRanks];  // slices that have come from block b of a rank
  uint32_t lost;                              // 1 + the rank that was waited for in vain; 0: none
  alignas(16) uint8_t slices[2][kPeerRanks][kPeerBlocks][kPeerSliceBytes];
};

struct PeerGather {
  PeerMailbox* mailboxes[kPeerRanks];  // as this rank reaches them
  uint32_t* lost;                      // of this rank, in page-locked host memory
  int rank;
  int ranks;
  uint64_t patience_ns;  // that a slice may take
};

// all[r] = own of rank r; `bytes` is a multiple of 4.
void peer_gather(Queue queue, const PeerGather& peers, const void* own, void* all, size_t bytes);

}  // namespace ft::cuda
