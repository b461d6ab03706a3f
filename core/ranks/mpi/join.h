// Joins the other ranks as the launcher of this process says. In the library that has MPI, which only programs link.
#pragma once

#include <chrono>
#include <functional>

#include "core/error.h"
#include "core/ranks/ranks.h"
#include "core/ranks/shared_model.h"

namespace ft::ranks {

struct Program {
  const char* name;  // before messages on stderr
  std::chrono::milliseconds rank_timeout{5000};
  std::function<int(Ranks&)> lead;  // what rank 0 does; returns the exit code of all ranks
  OfferBackend offer_backend;       // of followers
};

// Runs the program as one rank, or as the only one where no launcher was at work; returns its exit code. Where a rank
// is lost, this process says so once on stderr and ends with kExitRankLost, without waiting for anybody. A wrong start
// is an error of find_launch() or Ranks::start().
Result<int> run_as_rank(const Program& program);

}  // namespace ft::ranks
