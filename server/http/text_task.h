// Work on the text pool that a session waits for.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "server/http/text_pool.h"

namespace ft::server {

// The session and the worker share the task, so either may outlive the other.
template <class T>
class TextTask : public std::enable_shared_from_this<TextTask<T>> {
 public:
  explicit TextTask(const boost::asio::any_io_executor& executor)
      : timer_(executor, std::chrono::steady_clock::time_point::max()) {}

  // Runs `work`, on about `bytes` bytes of text. It is destroyed before the task is finished.
  void start(TextPool& pool, size_t bytes, std::function<T()> work) {
    pool.run(bytes, [self = this->shared_from_this(), work = std::move(work)]() mutable {
      if (!self->abandoned_.load()) {
        try {
          self->result_.emplace(work());
        } catch (...) {
          self->failure_ = std::current_exception();
        }
      }
      work = nullptr;
      self->post_finished();
    });
  }

  // Runs `work` at once instead, on the session's executor.
  void run_here(const std::function<T()>& work) {
    try {
      result_.emplace(work());
    } catch (...) {
      failure_ = std::current_exception();
    }
    finished_ = true;
  }

  // On the session's executor, like all below. The result is not wanted any more: work that has not begun
  // never does.
  void abandon() { abandoned_.store(true); }
  bool finished() const { return finished_; }
  // Cancelled when the task is finished.
  boost::asio::steady_timer& timer() { return timer_; }
  // Of a finished task that was not abandoned: what the work returned, or throws what it threw.
  T take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(*result_);
  }

 private:
  void post_finished() {
    for (;;) {
      try {
        boost::asio::post(timer_.get_executor(), [self = this->shared_from_this()] {
          self->finished_ = true;
          self->timer_.cancel();
        });
        return;
      } catch (const std::bad_alloc&) {
        // The session waits for this, so it has to arrive.
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
  }

  boost::asio::steady_timer timer_;
  std::optional<T> result_;
  std::exception_ptr failure_;
  std::atomic<bool> abandoned_{false};
  bool finished_ = false;
};

}  // namespace ft::server
