// The one place where the CPU backend uses threads:
// a loop over output elements, split into contiguous pieces.
#pragma once

#include <xmmintrin.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace ft::cpu {

// While it lives, its thread takes subnormal float32 numbers for zero and makes none: what products of bfloat16
// (bf16_products.h) do anyway, so that all instruction sets agree.
class WithoutSubnormals {
 public:
  WithoutSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
  ~WithoutSubnormals() { _mm_setcsr(before_); }
  WithoutSubnormals(const WithoutSubnormals&) = delete;
  WithoutSubnormals& operator=(const WithoutSubnormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  unsigned before_;
};

// A team of threads of a fixed size that belongs to this object, so backends with different thread counts
// live side by side. One thread calls run() at a time; it works along.
//
// Pieces are claimed one by one and only claimed pieces are waited for. A helper that the system has not
// scheduled (a busy machine, other programs on its core) then costs nothing: the caller does its pieces.
// OpenMP's teams wait for every member at every loop: on two cores shared with other work the same test took
// 41 s with libgomp and 1 s with one thread.
class Parallel {
 public:
  // threads 0 = all cores.
  explicit Parallel(int threads);
  ~Parallel();
  Parallel(const Parallel&) = delete;
  Parallel& operator=(const Parallel&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls body(begin, end, thread) so that the ranges cover [0, count) once; `thread` is below threads(), and
  // no two calls run under the same one at a time (for scratch). `cost` is a rough total in nanoseconds of
  // one thread; work that costs less than sharing it runs on the calling thread. Every element must be
  // computed the same way whatever the range it falls in. Bodies run without subnormals.
  template <class Body>
  void run(int64_t count, int64_t cost, Body&& body) const {
    const WithoutSubnormals on_this_thread;
    if (helpers_.empty() || count <= 1 || cost < kSerialCost) {
      if (count > 0) body(int64_t{0}, count, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    share(
        count,
        [](void* context, int64_t begin, int64_t end, int thread) {
          (*static_cast<Plain*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  // 8 us: below it waking the helpers and collecting them eats the gain of the second thread.
  static constexpr int64_t kSerialCost = 8000;

  using Body = void (*)(void*, int64_t, int64_t, int);

  void share(int64_t count, Body body, void* context) const;
  void help(int thread);
  void work(int thread) const;

  // The loop in progress. Written by the caller while the gate is shut and nobody is inside.
  mutable Body body_ = nullptr;
  mutable void* context_ = nullptr;
  mutable int64_t count_ = 0;
  mutable int64_t pieces_ = 0;
  mutable std::atomic<int64_t> next_piece_{0};

  // kOpen while there may be pieces left, plus the number of helpers inside work(). A helper enters only
  // through the open gate, so after shutting it the caller waits for those inside and for nobody else.
  static constexpr int kOpen = 1 << 30;
  mutable std::atomic<int> gate_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> helpers_;
};

}  // namespace ft::cpu
