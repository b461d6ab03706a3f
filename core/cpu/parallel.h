// The one place where the CPU backend uses threads: a loop over output elements, split into fixed contiguous
// ranges.
#pragma once

#include <cstdint>
#include <type_traits>

namespace ft::cpu {

// A team of OpenMP threads of a fixed size. The team belongs to the object's calls: nothing global is set, so
// backends with different thread counts live side by side. One thread calls run() at a time.
class Parallel {
 public:
  // threads 0 = all cores.
  explicit Parallel(int threads);

  int threads() const { return threads_; }

  // Calls body(begin, end, thread) so that the ranges cover [0, count) once: thread t of n gets
  // [count*t/n, count*(t+1)/n). `cost` is a rough total in nanoseconds of one thread; work that costs less
  // than starting the team runs on the calling thread. Every element must be computed the same way whatever
  // the range it falls in.
  template <class Body>
  void run(int64_t count, int64_t cost, Body&& body) const {
    if (threads_ == 1 || count <= 1 || cost < kSerialCost) {
      if (count > 0) body(int64_t{0}, count, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    split(
        count,
        [](void* context, int64_t begin, int64_t end, int thread) {
          (*static_cast<Plain*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  // 8 us: below it the fork and join (1 to 4 us while the team spins) eat the gain of the second thread.
  static constexpr int64_t kSerialCost = 8000;

  void split(int64_t count, void (*body)(void*, int64_t, int64_t, int), void* context) const;

  int threads_;
};

}  // namespace ft::cpu
