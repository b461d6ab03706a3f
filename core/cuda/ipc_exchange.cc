#include <chrono>
#include <vector>

#include "core/cuda/exchange.h"
#include "core/cuda/peer_gather.h"

namespace ft::cuda {

namespace {

// A rank that is alive reaches its exchange within the time of a step. Whoever waits longer gives up, so that the host
// is free to say so.
constexpr std::chrono::seconds kPatience{5};

class IpcExchange final : public Exchange {
 public:
  IpcExchange() = default;
  IpcExchange(const IpcExchange&) = delete;
  IpcExchange& operator=(const IpcExchange&) = delete;
  ~IpcExchange() override {
    for (int rank = 0; rank < peers_.ranks; ++rank) {
      if (rank != peers_.rank && peers_.mailboxes[rank] != nullptr)
        cudaIpcCloseMemHandle(peers_.mailboxes[rank]);
    }
    cudaFree(own_);
    cudaFreeHost(peers_.lost);
  }

  // What went wrong on this rank; all ranks go on to the end, so that none waits for another.
  std::string open(Comm& comm) {
    std::string problem;
    const auto keep = [&](const char* what, cudaError_t status) {
      if (status == cudaSuccess || !problem.empty()) return status == cudaSuccess;
      (void)cudaGetLastError();
      problem = fmt::format("{}: {}", what, cudaGetErrorString(status));
      return false;
    };
    struct Invitation {
      cudaIpcMemHandle_t handle = {};
      int32_t valid = 0;
    };
    const auto rank = static_cast<size_t>(comm.rank());
    std::vector<Invitation> invitations(static_cast<size_t>(comm.size()));
    peers_.rank = comm.rank();
    peers_.ranks = comm.size();
    peers_.patience_ns = std::chrono::nanoseconds(kPatience).count();
    if (keep("allocating a mailbox", cudaMalloc(reinterpret_cast<void**>(&own_), sizeof(PeerMailbox))) &&
        keep("clearing a mailbox", cudaMemset(own_, 0, sizeof(PeerMailbox))) &&
        keep("clearing a mailbox", cudaDeviceSynchronize()) &&
        keep("allocating page-locked memory",
             cudaHostAlloc(reinterpret_cast<void**>(&peers_.lost), sizeof(uint32_t), cudaHostAllocMapped)) &&
        keep("sharing a mailbox", cudaIpcGetMemHandle(&invitations[rank].handle, own_))) {
      *peers_.lost = 0;
      invitations[rank].valid = 1;
    }
    comm.all_gather(&invitations[rank], invitations.data(), sizeof(Invitation));
    for (size_t peer = 0; peer < invitations.size(); ++peer) {
      if (peer == rank) {
        peers_.mailboxes[peer] = own_;
        continue;
      }
      void* mailbox = nullptr;
      if (invitations[peer].valid == 0) {
        if (problem.empty()) problem = fmt::format("rank {} shares no memory", peer);
      } else if (keep("opening the memory of a peer", cudaIpcOpenMemHandle(&mailbox, invitations[peer].handle,
                                                                           cudaIpcMemLazyEnablePeerAccess))) {
        peers_.mailboxes[peer] = static_cast<PeerMailbox*>(mailbox);
      }
    }
    return problem;
  }

  std::string name() const override { return "over peer memory"; }
  bool recordable() const override { return true; }

  void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) override {
    peer_gather(queue, peers_, own, all, bytes_each);
  }

  void check() override {
    const uint32_t lost = *static_cast<volatile uint32_t*>(peers_.lost);
    if (lost != 0) {
      throw RankError(fmt::format("rank {} did not come to an exchange on the device within {} s", lost - 1,
                                  kPatience.count()));
    }
  }

 private:
  PeerMailbox* own_ = nullptr;
  PeerGather peers_ = {};
};

}  // namespace

Result<std::unique_ptr<Exchange>> make_ipc_exchange(Comm& comm) {
  if (comm.size() > kPeerRanks) return fail(ErrorCode::kUnavailable, "more than {} ranks", kPeerRanks);
  auto exchange = std::make_unique<IpcExchange>();
  const std::string problem = exchange->open(comm);
  std::vector<int32_t> fine(static_cast<size_t>(comm.size()));
  int32_t& own = fine[static_cast<size_t>(comm.rank())];
  own = problem.empty() ? 1 : 0;
  comm.all_gather(&own, fine.data(), sizeof(int32_t));
  for (size_t rank = 0; rank < fine.size(); ++rank) {
    if (fine[rank] == 0)
      return fail(ErrorCode::kUnavailable, "rank {} cannot use peer memory{}{}", rank,
                  problem.empty() ? "" : ": ", problem);
  }
  return exchange;
}

}  // namespace ft::cuda
