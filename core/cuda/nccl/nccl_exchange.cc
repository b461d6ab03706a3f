// NCCL, loaded when it is used.
#include <nccl.h>

#include <vector>

#include "core/cuda/exchange.h"
#include "core/cuda/loaded_library.h"

namespace ft::cuda {

namespace {

struct Library {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRank) init_rank = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclCommGetAsyncError) get_async_error = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  int version = 0;

  static Result<Library> load() {
    Result<LoadedLibrary> loaded = LoadedLibrary::load("libnccl.so.2");
    if (!loaded) return tl::make_unexpected(loaded.error());
    Library library;
    loaded->find(library.get_version, "ncclGetVersion");
    loaded->find(library.get_unique_id, "ncclGetUniqueId");
    loaded->find(library.init_rank, "ncclCommInitRank");
    loaded->find(library.abort, "ncclCommAbort");
    loaded->find(library.get_async_error, "ncclCommGetAsyncError");
    loaded->find(library.error_string, "ncclGetErrorString");
    loaded->find(library.all_gather, "ncclAllGather");
    if (!loaded->complete() || library.get_version(&library.version) != ncclSuccess)
      return fail(ErrorCode::kUnavailable, "libnccl.so.2 lacks functions of NCCL 2");
    return library;
  }
};

class NcclExchange final : public Exchange {
 public:
  NcclExchange(const Library& library, ncclComm_t ranks) : library_(library), ranks_(ranks) {}
  NcclExchange(const NcclExchange&) = delete;
  NcclExchange& operator=(const NcclExchange&) = delete;
  // Not ncclCommDestroy, which waits for ranks that may be gone.
  ~NcclExchange() override { library_.abort(ranks_); }

  std::string name() const override { return fmt::format("by NCCL {}", library_.version); }
  bool recordable() const override { return true; }

  void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) override {
    require(library_.all_gather(own, all, bytes_each, ncclInt8, ranks_, queue.stream));
  }

  void check() override {
    ncclResult_t result = ncclSuccess;
    require(library_.get_async_error(ranks_, &result));
    require(result);
  }

 private:
  void require(ncclResult_t result) const {
    if (result != ncclSuccess && result != ncclInProgress)
      throw RankError(fmt::format("NCCL: {}", library_.error_string(result)));
  }

  Library library_;
  ncclComm_t ranks_;
};

}  // namespace

Result<std::unique_ptr<Exchange>> make_nccl_exchange(Comm& comm) {
  const auto rank = static_cast<size_t>(comm.rank());
  struct Offer {
    int32_t version = 0;
    int32_t ready = 0;
    ncclUniqueId id = {};
  };
  std::vector<Offer> offers(static_cast<size_t>(comm.size()));
  const auto library = Library::load();
  if (library) {
    offers[rank].version = library->version;
    offers[rank].ready = rank > 0 || library->get_unique_id(&offers[rank].id) == ncclSuccess ? 1 : 0;
  }
  comm.all_gather(&offers[rank], offers.data(), sizeof(Offer));
  if (!library) return tl::make_unexpected(library.error());
  for (size_t other = 0; other < offers.size(); ++other) {
    if (offers[other].ready == 0) return fail(ErrorCode::kUnavailable, "rank {} has no NCCL", other);
    if (offers[other].version != library->version) {
      return fail(ErrorCode::kUnavailable, "rank {} has NCCL {}, rank {} {}", other, offers[other].version,
                  rank, library->version);
    }
  }
  ncclComm_t ranks = nullptr;
  const ncclResult_t result = library->init_rank(&ranks, comm.size(), offers[0].id, comm.rank());
  std::vector<int32_t> joined(offers.size());
  joined[rank] = result == ncclSuccess ? 1 : 0;
  comm.all_gather(&joined[rank], joined.data(), sizeof(int32_t));
  for (size_t other = 0; other < joined.size(); ++other) {
    if (joined[other] != 0) continue;
    if (ranks != nullptr) library->abort(ranks);
    return fail(ErrorCode::kUnavailable, "rank {} could not join the others in NCCL{}{}", other,
                other == rank ? ": " : "", other == rank ? library->error_string(result) : "");
  }
  return std::make_unique<NcclExchange>(*library, ranks);
}

}  // namespace ft::cuda
