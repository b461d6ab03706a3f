// How this process was started: alone, or as one of several ranks by a launcher. The only place that reads what a
// launcher leaves in the environment.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace ft::ranks {

// The sizes that eight shards divide into.
constexpr bool is_rank_count(int64_t count) {
  return count == 1 || count == 2 || count == 4 || count == 8;
}

struct Launch {
  enum class Way : uint8_t {
    kAlone,
    kMpi,      // mpirun, mpiexec, or srun with PMI: MPI knows rank and size
    kSockets,  // torchrun-style variables: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT
  };
  Way way = Way::kAlone;
  int size = 0;  // as the launcher says, 0 where it does not; of kSockets always
  // Of kSockets.
  int rank = 0;
  std::string host;
  uint16_t port = 0;
};

// kInvalidArgument names the variable that makes no sense, and says how tasks of Slurm find each other that do not.
Result<Launch> find_launch();

}  // namespace ft::ranks
