// How much memory this process may use.
#pragma once

#include <cstdint>
#include <string>

namespace ft {

struct MemoryLimit {
  int64_t bytes = 0;
  std::string what;  // what sets it, for messages: "this machine's memory", "ulimit -v"
};

// The least of the machine's memory, the control group's, and the process's own limits.
MemoryLimit host_memory_limit();

// "15.6 GiB", "340 MiB".
std::string bytes_text(int64_t bytes);

}  // namespace ft
