#include "core/cuda/exchange.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

namespace ft::cuda {

namespace {

// From here on NCCL's rings are worth their start.
constexpr size_t kRingBytes = size_t{512} << 10;

struct Place {
  char host[128] = {};  // its name, and what tells its kernel from another of the same name
  int64_t process = 0;
  cudaUUID_t device = {};
};

Place own_host() {
  Place place;
  char name[64] = {};
  gethostname(name, sizeof(name) - 1);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::snprintf(place.host, sizeof(place.host), "%s %s", name, boot.c_str());
  place.process = getpid();
  return place;
}

bool same_host(const Place& a, const Place& b) {
  return std::strcmp(a.host, b.host) == 0;
}

// Peer memory for what is small, NCCL for the rest.
class MixedExchange final : public Exchange {
 public:
  MixedExchange(std::unique_ptr<Exchange> small, std::unique_ptr<Exchange> large)
      : small_(std::move(small)), large_(std::move(large)) {}

  std::string name() const override { return small_->name() + ", large messages " + large_->name(); }
  void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) override {
    (bytes_each < kRingBytes ? small_ : large_)->all_gather(queue, own, all, bytes_each);
  }
  void check() override {
    small_->check();
    large_->check();
  }
  bool recordable() const override { return small_->recordable() && large_->recordable(); }

 private:
  std::unique_ptr<Exchange> small_;
  std::unique_ptr<Exchange> large_;
};

}  // namespace

Result<RankPlaces> find_places(Comm& comm) {
  const auto size = static_cast<size_t>(comm.size());
  const auto rank = static_cast<size_t>(comm.rank());
  std::vector<Place> places(size);
  places[rank] = own_host();
  comm.all_gather(&places[rank], places.data(), sizeof(Place));
  int devices = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&devices); status != cudaSuccess) devices = 0;
  const auto before = std::count_if(places.begin(), places.begin() + static_cast<int64_t>(rank),
                                    [&](const Place& other) { return same_host(other, places[rank]); });
  RankPlaces found;
  cudaDeviceProp properties = {};
  if (devices > 0) {
    found.device = static_cast<int>(before % devices);
    if (cudaGetDeviceProperties(&properties, found.device) == cudaSuccess)
      places[rank].device = properties.uuid;
  }
  comm.all_gather(&places[rank], places.data(), sizeof(Place));
  for (size_t a = 0; a < size; ++a) {
    const cudaUUID_t none = {};
    if (std::memcmp(&places[a].device, &none, sizeof(none)) == 0)
      return fail(ErrorCode::kUnavailable, "rank {} ({}) has no CUDA device", a, places[a].host);
    for (size_t b = 0; b < a; ++b) {
      const bool together = same_host(places[a], places[b]);
      found.one_host = found.one_host && together;
      if (together && places[a].process == places[b].process) found.own_processes = false;
      if (std::memcmp(&places[a].device, &places[b].device, sizeof(cudaUUID_t)) == 0)
        found.own_devices = false;
    }
  }
  return found;
}

std::unique_ptr<Exchange> make_exchange(Comm& comm, const RankPlaces& places) {
  std::unique_ptr<Exchange> peer;
  std::unique_ptr<Exchange> nccl;
  // Kernels that wait for each other must not meet in one process: its host calls can wait for all of them.
  if (places.one_host && places.own_processes) {
    if (auto made = make_ipc_exchange(comm)) peer = std::move(*made);
  }
  if (places.own_devices && places.own_processes) {
    if (auto made = make_nccl_exchange(comm)) nccl = std::move(*made);
  }
  if (peer != nullptr && nccl != nullptr)
    return std::make_unique<MixedExchange>(std::move(peer), std::move(nccl));
  if (peer != nullptr) return peer;
  if (nccl != nullptr) return nccl;
  return make_staged_exchange(comm);
}

}  // namespace ft::cuda
