#include "eval/bench_memory.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

namespace ft::eval {
namespace {

constexpr int64_t kBytes = int64_t{512} << 20;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Shortest time of `body` over repetitions that fill `seconds`.
double best_seconds(double seconds, const std::function<void()>& body) {
  double best = 1e30;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    body();
    best = std::min(best, seconds_since(start));
  } while (seconds_since(begin) < seconds);
  return best;
}

void on_threads(int threads, const std::function<void(int)>& body) {
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(body, t);
  body(0);
  for (std::thread& thread : team) thread.join();
}

}  // namespace

MemorySpeed measure_host_memory(int threads, double seconds) {
  if (threads <= 0) threads = std::max(1u, std::thread::hardware_concurrency());
  constexpr int64_t kWords = kBytes / 8;
  std::vector<uint64_t> source(kWords, 1), target(kWords / 2);
  const auto part = [&](int64_t words, int t) { return words * t / threads; };
  std::vector<uint64_t> sums(static_cast<size_t>(threads) * 8);
  MemorySpeed speed;
  const double read = best_seconds(seconds, [&] {
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
  const double copy = best_seconds(seconds, [&] {
    on_threads(threads, [&](int t) {
      const int64_t begin = part(kWords / 2, t), end = part(kWords / 2, t + 1);
      std::memcpy(target.data() + begin, source.data() + begin, static_cast<size_t>(end - begin) * 8);
    });
  });
  speed.copy_bytes_per_s = kBytes / copy;
  return speed;
}

MemorySpeed measure_device_memory(Backend& backend, double seconds) {
  constexpr int64_t kRowBytes = 1 << 20, kRows = kBytes / 2 / kRowBytes;
  const Buffer source = backend.allocate(kBytes / 2), target = backend.allocate(kBytes / 2);
  std::vector<int32_t> order(kRows);
  std::iota(order.begin(), order.end(), 0);
  const Buffer indices = backend.allocate(order.size() * sizeof(int32_t));
  backend.upload(indices.data(), order.data(), order.size() * sizeof(int32_t));
  const auto* rows = static_cast<const int32_t*>(indices.data());
  const double copy = best_seconds(seconds, [&] {
    float probe;
    backend.copy_rows(target.data(), source.data(), kRowBytes, rows, rows, kRows);
    backend.download(&probe, target.data(), sizeof probe);
  });
  return {kBytes / copy, kBytes / copy};
}

}  // namespace ft::eval
