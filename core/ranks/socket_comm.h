// Exchanges over TCP, as a star through rank 0: for starts without MPI. Host memory only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/ranks/comm.h"
#include "core/ranks/socket.h"
#include "core/ranks/waiting.h"

namespace ft::ranks {

class SocketComm final : public Comm {
 public:
  // Where the ranks meet: rank 0 listens on `port` of `host`.
  struct Meeting {
    std::string host;
    uint16_t port = 0;
  };
  // How long ranks wait for each other at the start.
  static constexpr std::chrono::seconds kMeetWithin{60};

  // Every rank calls it; returns when all have met. `patience` outlives the comm. kUnavailable names who is missing.
  static Result<std::unique_ptr<Comm>> meet(int rank, int size, const Meeting& meeting,
                                            const Patience& patience);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_gather(const void* own, void* all, size_t bytes_each) override;
  void broadcast(void* data, size_t bytes) override;

 private:
  SocketComm(int rank, int size, const Patience& patience);
  void send(int peer, const void* data, size_t bytes);
  void receive(int peer, void* data, size_t bytes);
  [[noreturn]] void lost(int peer);

  int rank_;
  int size_;
  const Patience& patience_;
  std::vector<Socket> peers_;  // by rank: of rank 0 to all others, of the others to rank 0
};

}  // namespace ft::ranks
