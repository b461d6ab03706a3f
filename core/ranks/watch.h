// Sees that every rank is alive. Each follower has a connection to rank 0, over which both send a sign of life; a
// thread in each process looks after it. When a connection ends or falls silent, or when this process raises the
// alarm itself, the cause goes to everybody, and everybody ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/ranks/alarm.h"
#include "core/ranks/comm.h"
#include "core/ranks/socket.h"

namespace ft::ranks {

struct WatchOptions {
  std::chrono::milliseconds timeout{5000};  // a rank that is silent for longer is given up
  // Called once, on the thread of the watch, with the cause; not where another rank has told this one and reports it.
  std::function<void(const std::string&)> on_alarm = {};
  // Called when the process has not ended kEndWithin after the alarm: a thread of it is stuck.
  std::function<void()> on_overdue = {};
};

class Watch {
 public:
  static constexpr std::chrono::milliseconds kEndWithin{4000};

  // Every rank calls it at the same time; rank 0's timeout holds for all. `names` is how messages call each rank.
  // `comm` carries the address of rank 0. `alarm` outlives the watch.
  static Result<std::unique_ptr<Watch>> start(Comm& comm, std::vector<std::string> names, bool one_host,
                                              Alarm& alarm, WatchOptions options);
  // Tells the others that this rank ends as planned, where there was no alarm.
  ~Watch();

  // Until the alarm was reported and the others were told; at most `limit`.
  void wait_told(std::chrono::milliseconds limit);

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    int rank = 0;
    Socket socket;
    std::vector<uint8_t> received;
    Clock::time_point heard;
    bool open = true;
  };

  Watch(int rank, std::vector<std::string> names, Alarm& alarm, WatchOptions options);
  void run();
  void announce();
  void beat();
  void look(Peer& peer);
  void read(Peer& peer);
  void take_frames(Peer& peer);

  int rank_;
  std::vector<std::string> names_;
  Alarm& alarm_;
  WatchOptions options_;
  std::vector<Peer> peers_;
  Clock::time_point beat_at_;
  Clock::time_point alarmed_at_;
  bool told_by_peer_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool announced_ = false;
  std::thread thread_;
};

}  // namespace ft::ranks
