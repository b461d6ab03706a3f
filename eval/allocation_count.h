// Counts the process's heap allocations. Linked into programs and tests only: it replaces the global operator
// new.
#pragma once

#include <cstdint>

namespace ft::eval {

// Calls of any operator new so far, on all threads.
int64_t allocation_count();

}  // namespace ft::eval
