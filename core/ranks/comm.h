// How the ranks of one model exchange bytes. A rank is a process (in tests a thread) with a backend of its own; all
// ranks call the same functions in the same order. Nothing is added up on the way: sums have an order of their own
// (core/shards.h), so that the same bytes come out of 1, 2, 4 and 8 ranks.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace ft {

// The group can no longer work together: a rank died, is silent, or differs. The message names rank and cause. Thrown
// by Comm, and so by every op that exchanges something.
class RankError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Buffers are addresses of the memory of this rank's backend; exchanges run in order with its ops.
class Comm {
 public:
  virtual ~Comm() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // all[r] = own of rank r, `bytes_each` bytes of every rank. `own` may be this rank's place in `all`.
  virtual void all_gather(const void* own, void* all, size_t bytes_each) = 0;
  // What rank 0 has at `data` is at `data` on every rank.
  virtual void broadcast(void* data, size_t bytes) = 0;
};

// A place among `size` ranks: 1, 2, 4 or 8. `comm` is null where there is one, and outlives who holds this.
struct RankGroup {
  int rank = 0;
  int size = 1;
  Comm* comm = nullptr;
};

}  // namespace ft
