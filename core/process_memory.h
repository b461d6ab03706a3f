// How much memory this process takes.
#pragma once

#include <cstdint>

namespace ft {

// Bytes in memory now: those of its own, and its part of those that it shares with other processes (programs,
// libraries, mapped files). 0 where the system does not say. Takes milliseconds.
int64_t process_memory();

}  // namespace ft
