// Exchanges by MPI, which a build may lack (core/ranks/nompi is then what is linked). Host memory only.
#pragma once

#include <memory>

#include "core/error.h"
#include "core/ranks/comm.h"
#include "core/ranks/waiting.h"

namespace ft::ranks {

// Joins the ranks that an MPI launcher has started. `patience` outlives the comm. Call once in a process, which ends
// with finish_mpi() where all went well and without it where it did not: that would wait for ranks that are gone.
// kUnavailable where this build has no MPI, or where MPI does not allow calls from changing threads.
Result<std::unique_ptr<Comm>> make_mpi_comm(const Patience& patience);
void finish_mpi();

}  // namespace ft::ranks
