// What tells every thread of a process that the group of ranks has come apart.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "core/ranks/comm.h"

namespace ft::ranks {

// Raised once and for good. Any thread.
class Alarm {
 public:
  // The first message stays; later ones are what follows from it.
  void raise(std::string message) {
    const std::lock_guard lock(mutex_);
    if (raised_.load(std::memory_order_relaxed)) return;
    message_ = std::move(message);
    raised_.store(true, std::memory_order_release);
  }
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  // "" where it was not raised.
  std::string message() const {
    const std::lock_guard lock(mutex_);
    return message_;
  }
  // Throws RankError with the message where it was raised.
  void check() const {
    if (raised()) throw RankError(message());
  }
  [[noreturn]] void raise_and_throw(std::string message) {
    raise(std::move(message));
    throw RankError(this->message());
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> raised_{false};
  std::string message_;
};

}  // namespace ft::ranks
