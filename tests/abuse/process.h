// What the system knows of a running process.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ft::abuse {

struct Memory {
  int64_t resident = 0;  // bytes; 0 where the process is gone
  int64_t peak = 0;      // most resident bytes since the last reset_peak
};

class Process {
 public:
  explicit Process(pid_t pid) : pid_(pid) {}

  bool alive() const;  // not where it ended and nobody asked for its status yet
  Memory memory() const;
  int64_t address_space() const;  // bytes
  void reset_peak() const;
  int descriptors() const;  // that it has open

 private:
  pid_t pid_;
};

inline double mib(int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

}  // namespace ft::abuse
