// The ranks that this process is one of: how they talk, that they are alive, and how they end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/ranks/alarm.h"
#include "core/ranks/channel.h"
#include "core/ranks/comm.h"
#include "core/ranks/waiting.h"
#include "core/ranks/watch.h"

namespace ft::ranks {

// Exit code of a process whose group has come apart. A supervisor that starts again on failure does what is needed.
inline constexpr int kExitRankLost = 4;

class Ranks {
 public:
  // This process alone.
  Ranks() : patience_(alarm_) {}
  ~Ranks();

  using MakeComm = std::function<Result<std::unique_ptr<Comm>>(const Patience&)>;
  // Every rank calls it at the same time: makes the exchange, tells names, starts the watch. kInvalidArgument where
  // the number of ranks is none of 1, 2, 4, 8.
  static Result<std::unique_ptr<Ranks>> start(const MakeComm& make_comm, WatchOptions watch);

  int rank() const { return comm_ == nullptr ? 0 : comm_->rank(); }
  int size() const { return comm_ == nullptr ? 1 : comm_->size(); }
  // Ranks on the host of this one, itself included; and of these the ones that may run on the same cores: all, or
  // this one alone where the launcher has bound each to cores of its own.
  int local_size() const { return local_size_; }
  int sharing_cores() const { return sharing_cores_; }
  RankGroup group() const { return {rank(), size(), comm_.get()}; }
  // "rank 1 (pid 4242 on node7)"
  const std::string& name(int rank) const { return names_[static_cast<size_t>(rank)]; }

  Alarm& alarm() { return alarm_; }
  Patience& patience() { return patience_; }
  Comm& comm() { return *comm_; }
  Channel& channel() { return *channel_; }
  // Held on rank 0 around everything that ranks do together, which several models of a process may want at once.
  std::mutex& mutex() { return mutex_; }

  uint32_t new_session() { return ++sessions_made_; }
  void close_session(uint32_t session);
  // At the end of the program. From rank 0: followers end with this exit code. After an alarm: waits until it has been
  // told, for a moment.
  void end(int exit_code);

 private:
  Alarm alarm_;
  Patience patience_;
  std::unique_ptr<Comm> comm_;
  std::unique_ptr<Channel> channel_;
  std::vector<std::string> names_{"rank 0"};
  int local_size_ = 1;
  int sharing_cores_ = 1;
  std::mutex mutex_;
  uint32_t sessions_made_ = 0;
  std::unique_ptr<Watch> watch_;  // last, so that its thread is gone first
};

}  // namespace ft::ranks
