#include "core/ranks/mpi/join.h"

#include <unistd.h>

#include <cstdio>

#include "core/ranks/launch.h"
#include "core/ranks/mpi_comm.h"
#include "core/ranks/socket_comm.h"

namespace ft::ranks {

namespace {

// One rank where no launcher was at work.
Result<std::unique_ptr<Ranks>> join_launched(WatchOptions watch) {
  const auto launch = find_launch();
  if (!launch) return tl::make_unexpected(launch.error());
  switch (launch->way) {
    case Launch::Way::kMpi: {
      auto ranks = Ranks::start(make_mpi_comm, std::move(watch));
      // Else each of them would serve by itself.
      if (ranks && launch->size > 1 && (*ranks)->size() != launch->size)
        return fail(
            ErrorCode::kUnavailable,
            "the launcher has started {} processes, of which MPI finds {}: this program's MPI does not "
            "understand the launcher (mpirun has to be of the same MPI, srun needs --mpi=pmix)",
            launch->size, (*ranks)->size());
      return ranks;
    }
    case Launch::Way::kSockets:
      return Ranks::start(
          [&](const Patience& patience) {
            return SocketComm::meet(launch->rank, launch->size, {launch->host, launch->port}, patience);
          },
          std::move(watch));
    case Launch::Way::kAlone:
      break;
  }
  return std::make_unique<Ranks>();
}

// A rank that ends while others may never: without a word to MPI, and without destructors that wait for threads.
[[noreturn]] void abandon() {
  std::fflush(nullptr);
  _exit(kExitRankLost);
}

}  // namespace

Result<int> run_as_rank(const Program& program) {
  const auto say = [name = program.name](const std::string& message) {
    std::fprintf(stderr, "%s: %s\n", name, message.c_str());
  };
  auto joined = join_launched({program.rank_timeout, say, abandon});
  if (!joined) return tl::make_unexpected(joined.error());
  Ranks& ranks = **joined;
  int code = kExitRankLost;
  if (ranks.rank() == 0) {
    code = program.lead(ranks);
  } else {
    try {
      code = follow(ranks, program.offer_backend);
    } catch (const RankError&) {
      // The watch tells why.
    }
  }
  ranks.end(code);
  if (ranks.alarm().raised()) abandon();
  joined->reset();
  finish_mpi();
  return code;
}

}  // namespace ft::ranks
