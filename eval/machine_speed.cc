#include "eval/machine_speed.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/cpu/peak.h"

namespace ft::eval {
namespace {

constexpr int64_t kBytes = int64_t{1} << 30;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Median time of `body` over at least five repetitions that fill `seconds`.
double median_seconds(double seconds, const std::function<void()>& body) {
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    body();
    times.push_back(seconds_since(start));
  } while (seconds_since(begin) < seconds || times.size() < 5);
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

int all_if_zero(int threads) {
  return threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void on_threads(int threads, const std::function<void(int)>& body) {
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(body, t);
  body(0);
  for (std::thread& thread : team) thread.join();
}

// Memory of its own, from the system, with every page touched.
class Pages64 {
 public:
  Pages64(int64_t words, Pages pages) : bytes_(static_cast<size_t>(words) * 8) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FT_CHECK(memory != MAP_FAILED, bytes_);
    ::madvise(memory, bytes_, pages == Pages::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    words_ = static_cast<uint64_t*>(memory);
    std::fill_n(words_, words, uint64_t{1});
  }
  ~Pages64() { ::munmap(words_, bytes_); }
  Pages64(const Pages64&) = delete;
  Pages64& operator=(const Pages64&) = delete;

  uint64_t* data() const { return words_; }

 private:
  size_t bytes_;
  uint64_t* words_ = nullptr;
};

}  // namespace

MemorySpeed measure_host_memory(int threads, double seconds, Pages pages) {
  threads = all_if_zero(threads);
  constexpr int64_t kWords = kBytes / 8;
  const Pages64 source(kWords, pages), target(kWords / 2, pages);
  const auto part = [&](int64_t words, int t) { return words * t / threads; };
  std::vector<uint64_t> sums(static_cast<size_t>(threads) * 8);
  MemorySpeed speed;
  const double read = median_seconds(seconds, [&] {
    on_threads(threads, [&](int t) {
      // Four streams a thread, each fetched well ahead: one alone waits for memory more than it reads.
      constexpr int kStreams = 4, kAhead = 256;
      const int64_t begin = part(kWords, t), length = (part(kWords, t + 1) - begin) / kStreams;
      uint64_t sum[8] = {};
      for (int64_t i = 0; i + 8 <= length; i += 8) {
        for (int s = 0; s < kStreams; ++s) {
          const uint64_t* line = source.data() + begin + s * length + i;
          __builtin_prefetch(line + kAhead);
          for (int lane = 0; lane < 8; ++lane) sum[lane] += line[lane];
        }
      }
      sums[static_cast<size_t>(t) * 8] += std::accumulate(sum, sum + 8, uint64_t{0});
    });
  });
  // Uses the sums, so that the reads cannot be dropped.
  speed.read_bytes_per_s = std::accumulate(sums.begin(), sums.end(), uint64_t{0}) == 0 ? 0.0 : kBytes / read;
  const double copy = median_seconds(seconds, [&] {
    on_threads(threads, [&](int t) {
      const int64_t begin = part(kWords / 2, t), end = part(kWords / 2, t + 1);
      std::memcpy(target.data() + begin, source.data() + begin, static_cast<size_t>(end - begin) * 8);
    });
  });
  speed.copy_bytes_per_s = kBytes / copy;
  return speed;
}

MemorySpeed measure_device_memory(Backend& backend, double seconds) {
  constexpr int64_t kRowBytes = 1 << 20, kCopied = kBytes / 2, kRows = kCopied / 2 / kRowBytes;
  const Buffer source = backend.allocate(kCopied / 2), target = backend.allocate(kCopied / 2);
  std::vector<int32_t> order(kRows);
  std::iota(order.begin(), order.end(), 0);
  const Buffer indices = backend.allocate(order.size() * sizeof(int32_t));
  backend.upload(indices.data(), order.data(), order.size() * sizeof(int32_t));
  const auto* rows = static_cast<const int32_t*>(indices.data());
  const double copy = median_seconds(seconds, [&] {
    float probe;
    backend.copy_rows(target.data(), source.data(), kRowBytes, rows, rows, kRows);
    backend.download(&probe, target.data(), sizeof probe);
  });
  return {kCopied / copy, kCopied / copy};
}

double measure_host_flops(int threads, double seconds) {
  threads = all_if_zero(threads);
  constexpr int64_t kCount = 200'000'000;
  std::vector<int64_t> done(static_cast<size_t>(threads) * 8);
  const double time = median_seconds(seconds, [&] {
    on_threads(threads, [&](int t) { done[static_cast<size_t>(t) * 8] = cpu::run_multiply_adds(kCount); });
  });
  return 2.0 * static_cast<double>(std::accumulate(done.begin(), done.end(), int64_t{0})) / time;
}

}  // namespace ft::eval
