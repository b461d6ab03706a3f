// The tests of whole models among processes: `mpirun -n 2 mpi_model_tests`. Rank 0 runs them, on backends that the
// other ranks mirror; goldens and digests are those of one rank.
#include <gtest/gtest.h>

#include "core/backend_factory.h"
#include "core/check.h"
#include "core/cpu/target.h"
#include "core/ranks/mpi/join.h"
#include "tests/support/loaded_model.h"

namespace ft {

namespace {

ranks::Ranks* all_ranks = nullptr;

Result<ranks::BackendOffer> offer(const ranks::ModelRequest& request, const ranks::Ranks& ranks) {
  return offer_rank_backend(request, ranks);
}

}  // namespace

namespace support {

std::vector<std::string> model_backends() {
  return {"cpu1"};
}

OpenCheckpoint open_checkpoint(const std::string& path, const std::string& backend_name, Numerics numerics) {
  ranks::ModelRequest request;
  request.path = path;
  request.backend = backend_name == "reference" ? "reference" : "cpu";
  request.mode = numerics == Numerics::kExact ? "exact" : "official";
  request.cpu_target = cpu::target_name();
  request.threads = backend_name == "cpu" ? 2 : 1;
  auto shared = ranks::open_shared_model(*all_ranks, request, offer);
  FT_CHECK(shared.has_value(), shared.error().message);
  FT_CHECK(static_cast<int>(shared->parts.size()) == all_ranks->size(), path);
  return {std::move(shared->backend), std::move(shared->checkpoint)};
}

}  // namespace support
}  // namespace ft

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto code = ft::ranks::run_as_rank({.name = "mpi_model_tests",
                                            .lead =
                                                [](ft::ranks::Ranks& ranks) {
                                                  fmt::print(stderr, "ranks: {}\n", ranks.size());
                                                  ft::all_ranks = &ranks;
                                                  return RUN_ALL_TESTS();
                                                },
                                            .offer_backend = ft::offer});
  if (code) return *code;
  fmt::print(stderr, "mpi_model_tests: {}\n", code.error().message);
  return 2;
}
