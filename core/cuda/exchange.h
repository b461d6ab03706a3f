// How the ranks of a CUDA backend exchange device memory, on its queue.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/cuda/launch.h"
#include "core/error.h"
#include "core/ranks/comm.h"

namespace ft::cuda {

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual std::string name() const = 0;
  // all[r] = own of rank r, `bytes_each` bytes of every rank, a multiple of 4; both lie in device memory and do not
  // overlap. All ranks call it in the same order. Throws RankError.
  virtual void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) = 0;
  // Throws RankError where an exchange that the device has run did not succeed. Call when the queue is empty.
  virtual void check() {}
  // Whether a recorded step may hold it: nothing is left for the host to do.
  virtual bool recordable() const = 0;
};

// Where the ranks' processes and devices are. `comm`, here and below, exchanges host memory; all ranks call the same.
struct RankPlaces {
  int device = 0;             // of this rank: ranks of one host take its devices in turn
  bool one_host = true;       // all ranks are on the host of this one,
  bool own_processes = true;  // no two of them in one process,
  bool own_devices = true;    // no two on one device
};
Result<RankPlaces> find_places(Comm& comm);

// The fastest of the ways below that all ranks can use; the same for all.
std::unique_ptr<Exchange> make_exchange(Comm& comm, const RankPlaces& places);

// Through page-locked host memory and `comm`: works everywhere, and waits for the device each time.
std::unique_ptr<Exchange> make_staged_exchange(Comm& comm);

// Processes of one host write into each other's device memory (CUDA IPC): one kernel, without the host. Best for small
// messages; the ranks may share a device. kUnavailable where a rank cannot reach another's memory.
Result<std::unique_ptr<Exchange>> make_ipc_exchange(Comm& comm);

// NCCL: each rank has a device of its own. kUnavailable where this build or a rank has no NCCL (core/cuda/nonccl).
Result<std::unique_ptr<Exchange>> make_nccl_exchange(Comm& comm);

}  // namespace ft::cuda
