// A timer that is moved with every event, but seldom re-armed.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>

namespace ft::server {

// Setting it is cheap: the timer behind it is armed only when there is none, or when it would fire too late; one that
// fires too early is armed again. All on one executor.
class LazyTimer {
 public:
  using Clock = std::chrono::steady_clock;

  template <class Executor>
  explicit LazyTimer(const Executor& executor) : timer_(executor) {}

  // From now on `expired` of `owner` is called once `time` has come, unless clear(), cancel() or another set() comes
  // first. Owner and function are the same every time; the owner is shared, and no call is made when it is gone.
  template <class Owner>
  void set(Clock::time_point time, Owner& owner, void (Owner::*expired)()) {
    time_ = time;
    if (!armed_ || timer_.expiry() > time_) arm(owner, expired);
  }
  void clear() { time_ = Clock::time_point::max(); }
  // Ends it for good.
  void cancel() {
    clear();
    timer_.cancel();
  }

 private:
  template <class Owner>
  void arm(Owner& owner, void (Owner::*expired)()) {
    armed_ = true;
    timer_.expires_at(time_);
    timer_.async_wait([this, weak = owner.weak_from_this(), expired](boost::system::error_code error) {
      const auto self = weak.lock();
      if (!self || error) return;  // gone, or armed again
      armed_ = false;
      if (time_ == Clock::time_point::max()) return;
      if (Clock::now() < time_) return arm(*self, expired);
      clear();
      ((*self).*expired)();
    });
  }

  boost::asio::steady_timer timer_;
  Clock::time_point time_ = Clock::time_point::max();
  bool armed_ = false;
};

}  // namespace ft::server
