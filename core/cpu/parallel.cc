#include "core/cpu/parallel.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>

namespace ft::cpu {

namespace {

// Pieces per thread: enough that a late helper still finds some, few enough that claiming is cheap.
constexpr int64_t kPiecesPerThread = 4;

// How long a helper looks for work before it sleeps: longer than what the caller does alone between the ops
// of a step, short beside a pause between requests. Waking a sleeper costs the caller microseconds, op after
// op.
constexpr std::chrono::microseconds kAwake{100};

// A caller that waits for a helper in the middle of a piece gives up its core after so many pauses.
constexpr int kSpins = 1000;

void pause() {
  _mm_pause();
}

}  // namespace

Parallel::Parallel(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int thread = 1; thread < threads; ++thread) helpers_.emplace_back([this, thread] { help(thread); });
}

Parallel::~Parallel() {
  stopping_.store(true, std::memory_order_relaxed);
  gate_.fetch_or(kOpen, std::memory_order_release);
  gate_.notify_all();
}

void Parallel::work(int thread) const {
  for (;;) {
    const int64_t piece = next_piece_.fetch_add(1, std::memory_order_relaxed);
    if (piece >= pieces_) return;
    body_(context_, count_ * piece / pieces_, count_ * (piece + 1) / pieces_, thread);
  }
}

void Parallel::share(int64_t count, Body body, void* context) const {
  body_ = body;
  context_ = context;
  count_ = count;
  pieces_ = std::min(count, threads() * kPiecesPerThread);
  next_piece_.store(0, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  gate_.notify_all();
  work(0);
  int inside = gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  for (int spins = 0; inside != 0; inside = gate_.load(std::memory_order_acquire)) {
    // A helper that lost its core in the middle of a piece needs ours.
    if (++spins < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
}

void Parallel::help(int thread) {
  const WithoutSubnormals on_this_thread;
  using Clock = std::chrono::steady_clock;
  constexpr int kLooks = 64;  // at the gate for one at the clock
  int looks = 0;
  Clock::time_point idle_since = Clock::now();
  const auto idle_too_long = [&] {
    if (++looks % kLooks != 0) return false;
    return Clock::now() - idle_since > kAwake;
  };
  for (;;) {
    int gate = gate_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    if ((gate & kOpen) == 0) {
      if (idle_too_long()) {
        gate_.wait(gate, std::memory_order_acquire);
        idle_since = Clock::now();
      } else {
        pause();
      }
      continue;
    }
    // With every piece claimed there is nothing to enter for; the gate is about to shut.
    if (next_piece_.load(std::memory_order_relaxed) >= threads() * kPiecesPerThread) {
      if (idle_too_long())
        std::this_thread::yield();
      else
        pause();
      continue;
    }
    if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
    work(thread);
    gate_.fetch_sub(1, std::memory_order_release);
    looks = 0;
    idle_since = Clock::now();
  }
}

}  // namespace ft::cpu
