// How a thread waits for other ranks: awake at first, then less and less, and never against an alarm.
#pragma once

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>

#include "core/ranks/alarm.h"

namespace ft::ranks {

// How long an exchange may take; what waits for the next work of a server that has none may wait for ever.
// Written by the thread that exchanges, read by the exchange.
class Patience {
 public:
  // While another rank computes the same ops: longer than any difference between two ranks, which may be that one
  // still reads weights from its disk.
  static constexpr std::chrono::seconds kWhileComputing{60};

  explicit Patience(Alarm& alarm) : alarm_(alarm) {}
  Alarm& alarm() const { return alarm_; }
  bool limited() const { return limited_; }
  void set_limited(bool limited) { limited_ = limited; }

 private:
  Alarm& alarm_;
  bool limited_ = false;
};

// Limits patience as long as it lives: all ranks compute the same now.
class Computing {
 public:
  explicit Computing(Patience& patience) : patience_(patience) { patience_.set_limited(true); }
  ~Computing() { patience_.set_limited(false); }
  Computing(const Computing&) = delete;
  Computing& operator=(const Computing&) = delete;

 private:
  Patience& patience_;
};

// One exchange that is waited for.
class Waiting {
 public:
  // `what` names the exchange, in the message when patience ends.
  Waiting(const Patience& patience, std::string_view what) : patience_(patience), what_(what) {}

  // RankError after an alarm, or when patience ends, which raises it.
  void look() const {
    patience_.alarm().check();
    if (patience_.limited() && Clock::now() - begin_ > Patience::kWhileComputing)
      patience_.alarm().raise_and_throw(
          fmt::format("{} was not finished within {} s although every rank is alive: one of them is stuck",
                      what_, Patience::kWhileComputing.count()));
  }

  // look(), and gives the core away for a moment.
  void turn() {
    if (++turns_ < kYields) {
      // Other ranks may need this core to get there.
      sched_yield();
      return;
    }
    look();
    // A hundredth of the time waited so far is noticed by nobody.
    const Clock::duration nap = (Clock::now() - begin_) / 100;
    std::this_thread::sleep_for(
        std::clamp<Clock::duration>(nap, std::chrono::microseconds(20), std::chrono::milliseconds(1)));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kYields = 2000;

  const Patience& patience_;
  std::string_view what_;
  Clock::time_point begin_ = Clock::now();
  int turns_ = 0;
};

}  // namespace ft::ranks
