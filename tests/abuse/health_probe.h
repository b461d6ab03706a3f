// Asks /health every few milliseconds, as a supervisor would, and keeps the longest time without an answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/abuse/connection.h"

namespace ft::abuse {

class HealthProbe {
 public:
  struct Window {
    double longest_ms = 0;  // from a request to its answer; one that still waits counts
    double median_ms = 0;
    double p99_ms = 0;
    int64_t answers = 0;
    int64_t failures = 0;  // connections that broke, answers other than 200
    // The longest time that a thread of this program which only sleeps woke up too late by: what the machine
    // adds to every figure here.
    double machine_ms = 0;
  };

  explicit HealthProbe(Server server);
  ~HealthProbe();

  // What was seen since the last call.
  Window take();

 private:
  void ask();
  void sleep();

  Server server_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;  // of all that follows
  std::vector<double> milliseconds_;
  int64_t failures_ = 0;
  double machine_ms_ = 0;
  Clock::time_point asked_;
  bool waiting_ = false;
  std::thread asker_;
  std::thread sleeper_;
};

}  // namespace ft::abuse
