// What a build without MPI links.
#include "core/ranks/mpi_comm.h"

namespace ft::ranks {

Result<std::unique_ptr<Comm>> make_mpi_comm(const Patience&) {
  return fail(
      ErrorCode::kUnavailable,
      "an MPI launcher has started this program, which was built without MPI: install libopenmpi-dev and "
      "openmpi-bin, and build again");
}

void finish_mpi() {}

}  // namespace ft::ranks
