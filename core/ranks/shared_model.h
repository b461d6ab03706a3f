// A model that all ranks load and compute together, each its part.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/ranks/backend_offer.h"
#include "core/ranks/loaded_part.h"
#include "core/ranks/ranks.h"
#include "core/weights.h"

namespace ft::ranks {

// What to load and what to compute it on. Followers get it from rank 0, so that all do the same.
struct ModelRequest {
  std::string path;  // as rank 0 was told it: a relative one is looked up in each rank's own working folder
  std::string backend = "auto";
  std::string mode = "official";
  std::string cpu_target = "auto";
  int32_t threads = 0;  // of each rank; 0: the cores of its host, shared by the ranks there
  std::string prefill_gemm = "invariant";
};

using LoadProgress = std::function<void(int64_t, int64_t)>;

struct SharedModel {
  std::unique_ptr<Backend> backend;  // outlives the checkpoint
  std::unique_ptr<Checkpoint> checkpoint;
  std::vector<LoadedPart> parts;  // by rank
};

// On rank 0. All ranks look first whether they can, and at the same checkpoint; then they load. An error names the rank
// that cannot, or that holds another checkpoint or would compute on another kind of backend; nothing is open then.
// Throws RankError where a rank is lost. With one rank the backend is the plain one.
Result<SharedModel> open_shared_model(Ranks& ranks, const ModelRequest& request,
                                      const OfferBackend& offer_backend, const LoadProgress& progress = {});

// On the others: does what rank 0 asks until it ends, and returns the exit code that it gave. Throws RankError where
// a rank is lost.
int follow(Ranks& ranks, const OfferBackend& offer_backend);

}  // namespace ft::ranks
