// Several ranks in one process: a thread each, which talk over the loopback as processes would.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/ranks/ranks.h"
#include "core/ranks/shared_model.h"
#include "core/ranks/socket_comm.h"

namespace ft::support {

inline uint16_t free_port() {
  return ranks::listen_on(0, true).value().port;
}

inline Result<std::unique_ptr<ranks::Ranks>> join(int rank, int size, uint16_t port,
                                                  ranks::WatchOptions watch = {}) {
  return ranks::Ranks::start(
      [=](const ranks::Patience& patience) {
        return ranks::SocketComm::meet(rank, size, {"127.0.0.1", port}, patience);
      },
      std::move(watch));
}

// Runs `lead` as rank 0 and follow() as the others; returns what the followers returned, or the message of their
// RankError. `offer` is what each rank can compute on.
inline std::vector<std::string> run_ranks(
    int size, const ranks::OfferBackend& offer,
    const std::function<void(ranks::Ranks&, const ranks::OfferBackend&)>& lead) {
  const uint16_t port = free_port();
  std::vector<std::string> endings(static_cast<size_t>(size));
  std::vector<std::thread> followers;
  for (int rank = 1; rank < size; ++rank)
    followers.emplace_back([&, rank] {
      auto joined = join(rank, size, port);
      ASSERT_TRUE(joined) << joined.error().message;
      try {
        endings[static_cast<size_t>(rank)] = std::to_string(ranks::follow(**joined, offer));
      } catch (const RankError& error) {
        endings[static_cast<size_t>(rank)] = error.what();
      }
      (*joined)->end(0);
    });
  {
    auto joined = join(0, size, port);
    EXPECT_TRUE(joined) << joined.error().message;
    if (joined) {
      lead(**joined, offer);
      (*joined)->end(0);
    }
    for (std::thread& follower : followers) follower.join();
  }
  return endings;
}

}  // namespace ft::support
