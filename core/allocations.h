// The process's heap allocations: counted, and for tests made to fail. Linked into programs and tests only,
// because it replaces the global operator new.
#pragma once

#include <cstdint>

namespace ft {

// Calls of any operator new so far, on all threads.
int64_t allocation_count();

// While it lives, the calling thread's allocation number `number` from now on, counted from 0, throws
// std::bad_alloc; those after it work again. One at a time.
class FailingAllocation {
 public:
  explicit FailingAllocation(int64_t number);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  // Whether it has been reached.
  bool thrown() const;
};

}  // namespace ft
