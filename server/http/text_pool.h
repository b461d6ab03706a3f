// Worker threads for work on text: parsing bodies, rendering and tokenizing prompts, writing large replies.
// It runs here instead of on the threads that own sockets, so that a large request delays no other client.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ft::server {

class TextPool {
 public:
  // Jobs of at most this many bytes never wait for a larger one, unless there is one thread only.
  static constexpr size_t kSmallBytes = 256 << 10;

  // The first thread takes jobs of any size, so at most one large job is in memory at a time; the others take
  // small ones.
  explicit TextPool(int threads);
  // Drops what has not begun, and waits for what has.
  ~TextPool();
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  // Runs `job`, which works on about `bytes` bytes of text, on a worker. First come, first served, small ones
  // first. Any thread. A job must not throw.
  void run(size_t bytes, std::function<void()> job);

 private:
  struct Job {
    size_t bytes = 0;
    std::function<void()> work;
  };

  void work(bool takes_large);
  // Waits for a job; false when the pool ends.
  bool take(bool takes_large, Job& job);

  std::mutex mutex_;  // of all that follows
  std::condition_variable changed_;
  std::deque<Job> small_;
  std::deque<Job> large_;
  bool ending_ = false;
  const bool single_;
  std::vector<std::thread> threads_;
};

}  // namespace ft::server
