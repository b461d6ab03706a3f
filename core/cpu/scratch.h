// Memory for the intermediates of one op: planned once, handed out from the start again by the next op.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace ft::cpu {

inline constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 vector

struct FreeAligned {
  void operator()(void* data) const { std::free(data); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeAligned>;

// `bytes` rounded up to whole cache lines, not initialised; large ones in huge pages where the system has
// them.
AlignedBytes allocate_aligned(size_t bytes);

class Scratch {
 public:
  // Makes room for ops that take up to `bytes` in all.
  void plan(size_t bytes);
  // Starts the next op: all that was taken before is free again.
  void reset();
  // Uninitialised memory for `count` T, aligned to a cache line, valid until reset(). An op that takes more
  // than was planned gets memory of its own, and the plan grows with the next reset.
  template <class T>
  T* take(int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  void* take_bytes(size_t bytes);

  AlignedBytes block_;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t wanted_ = 0;
  std::vector<AlignedBytes> overflow_;
};

}  // namespace ft::cpu
