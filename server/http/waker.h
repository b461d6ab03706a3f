// Wakes a session, which waits on its own executor, from the engine's thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace ft::server {

// wake() may be called by any thread at any time, also after the session has gone, and does not throw. Many
// wakes before the session looks are one.
class Waker : public std::enable_shared_from_this<Waker> {
 public:
  using Error = boost::system::error_code;

  explicit Waker(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void wake() {
    const std::lock_guard lock(mutex_);
    if (detached_ || pending_) return;
    pending_ = true;
    // Posted, because the waiting coroutine belongs to the session's executor.
    try {
      boost::asio::post(executor_, [self = shared_from_this()] { self->complete(Error()); });
    } catch (const std::bad_alloc&) {
      pending_ = false;  // the next token tries again, and sessions look by themselves now and then
    }
  }

  // On the session's executor, like all below: whether there was a wake since the last call.
  bool take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(pending_, false);
  }

  // Completes with the next wake, perhaps with one that was taken, or with operation_aborted when it is cancelled.
  // One wait at a time.
  template <class Token>
  auto async_wait(Token&& token) {
    return boost::asio::async_initiate<Token, void(Error)>(
        [self = shared_from_this()](auto handler) { self->begin(std::move(handler)); }, token);
  }

  // Before the executor goes: nothing is posted any more.
  void detach() {
    const std::lock_guard lock(mutex_);
    detached_ = true;
  }
  // As detach(), and lets go of a coroutine that still waits, which may hold the waker itself. No thread runs the
  // executor any more.
  void abandon() {
    detach();
    waiting_.reset();
  }

 private:
  // The coroutine that waits.
  struct Waiting {
    virtual ~Waiting() = default;
    virtual void complete(Error error) = 0;
  };
  template <class Handler>
  struct WaitingHandler : Waiting {
    WaitingHandler(Handler waiting, const boost::asio::any_io_executor& executor)
        : handler(std::move(waiting)),
          work(boost::asio::prefer(executor, boost::asio::execution::outstanding_work.tracked)) {}
    void complete(Error error) override {
      auto cancellation = boost::asio::get_associated_cancellation_slot(handler);
      if (cancellation.is_connected()) cancellation.clear();
      std::move(handler)(error);
    }
    Handler handler;
    boost::asio::any_io_executor work;  // keeps the executor's threads from ending
  };

  template <class Handler>
  void begin(Handler handler) {
    auto cancellation = boost::asio::get_associated_cancellation_slot(handler);
    waiting_ = std::make_unique<WaitingHandler<Handler>>(std::move(handler), executor_);
    if (!cancellation.is_connected()) return;
    // Posted: a handler that runs now would take away what is calling it.
    cancellation.assign([weak = weak_from_this()](boost::asio::cancellation_type) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      boost::asio::post(self->executor_, [self] { self->complete(boost::asio::error::operation_aborted); });
    });
  }

  void complete(Error error) {
    const std::unique_ptr<Waiting> waiting = std::move(waiting_);
    if (waiting != nullptr) waiting->complete(error);
  }

  const boost::asio::any_io_executor executor_;
  std::mutex mutex_;  // of the next two
  bool pending_ = false;
  bool detached_ = false;
  std::unique_ptr<Waiting> waiting_;
};

}  // namespace ft::server
