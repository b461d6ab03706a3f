#include "server/http/text_pool.h"

#include <malloc.h>

#include <utility>

namespace ft::server {
namespace {

// A job of this size leaves memory behind that the allocator would keep for the process.
constexpr size_t kTrimBytes = 1 << 20;

void take_one(auto& queue, auto& job) {
  job = std::move(queue.front());
  queue.pop_front();
}

}  // namespace

TextPool::TextPool(int threads) : single_(threads == 1) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this, i] { work(i == 0); });
}

TextPool::~TextPool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TextPool::run(size_t bytes, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    (bytes <= kSmallBytes ? small_ : large_).push_back({bytes, std::move(job)});
  }
  // Not every thread takes every job.
  changed_.notify_all();
}

bool TextPool::take(bool takes_large, Job& job) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ending_ || !small_.empty() || (takes_large && !large_.empty()); });
  if (ending_) return false;
  // Where others take the small ones, the first thread is there for the large ones.
  const bool large = takes_large && !large_.empty() && (small_.empty() || !single_);
  take_one(large ? large_ : small_, job);
  return true;
}

void TextPool::work(bool takes_large) {
  for (Job job; take(takes_large, job); job = {}) {
    job.work();
    job.work = nullptr;
    if (job.bytes >= kTrimBytes) malloc_trim(0);
  }
}

}  // namespace ft::server
