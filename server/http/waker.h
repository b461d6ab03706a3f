// Wakes a session, which waits on its own executor, from the engine's thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace ft::server {

// wake() may be called by any thread at any time, also after the session has gone, and does not throw. Many
// wakes before the session looks are one.
class Waker : public std::enable_shared_from_this<Waker> {
 public:
  // `timer` is what the session waits on; cancelling it is the wake-up.
  explicit Waker(boost::asio::steady_timer& timer) : timer_(&timer) {}

  void wake() {
    const std::lock_guard lock(mutex_);
    if (timer_ == nullptr || pending_) return;
    pending_ = true;
    // Posted, because the timer belongs to the session's executor.
    try {
      boost::asio::post(timer_->get_executor(), [self = shared_from_this()] {
        const std::lock_guard posted_lock(self->mutex_);
        if (self->timer_ != nullptr) self->timer_->cancel();
      });
    } catch (const std::bad_alloc&) {
      pending_ = false;  // the next token tries again, and sessions look by themselves now and then
    }
  }

  // On the session's executor: whether there was a wake since the last call.
  bool take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(pending_, false);
  }

  // On the session's executor, before the timer goes.
  void detach() {
    const std::lock_guard lock(mutex_);
    timer_ = nullptr;
  }

 private:
  std::mutex mutex_;
  boost::asio::steady_timer* timer_;
  bool pending_ = false;
};

}  // namespace ft::server
