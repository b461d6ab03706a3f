// How the ranks of a CUDA backend exchange device memory, on its queue.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/cuda/launch.h"
#include "core/ranks/comm.h"

namespace ft::cuda {

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual std::string_view name() const = 0;
  // all[r] = own of rank r, `bytes_each` bytes of every rank, a multiple of 4; both lie in device memory and do not
  // overlap. All ranks call it in the same order. Throws RankError.
  virtual void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) = 0;
  // Whether a recorded step may hold it: nothing is left for the host to do.
  virtual bool recordable() const = 0;
};

// Through page-locked host memory and the ranks' own Comm: works everywhere, and waits for the device each time.
std::unique_ptr<Exchange> make_staged_exchange(Comm& comm);

}  // namespace ft::cuda
