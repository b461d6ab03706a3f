// One of two ranks, as a process: gpu_rank RANK SOCKET CHECKPOINT official|exact OUT [idle]
// Says on stdout what its backend is, and writes its logits to OUT. With `idle` rank 1 says so on stderr and computes
// nothing. Exit code: 0, 3 when the other rank was lost, 2 otherwise.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "core/backend.h"
#include "tests/gpu/rank_logits.h"

namespace {

// Two processes at the ends of a socket.
class PairComm final : public ft::Comm {
 public:
  PairComm(int rank, int socket) : rank_(rank), socket_(socket) {}
  int rank() const override { return rank_; }
  int size() const override { return 2; }

  void all_gather(const void* own, void* all, size_t bytes_each) override {
    auto* places = static_cast<char*>(all);
    char* mine = places + static_cast<size_t>(rank_) * bytes_each;
    if (own != mine) std::memcpy(mine, own, bytes_each);
    // One after the other: neither waits for room that the other has to make.
    for (int sender = 0; sender < 2; ++sender) {
      char* at = places + static_cast<size_t>(sender) * bytes_each;
      for (size_t done = 0; done < bytes_each;) {
        const ssize_t moved = sender == rank_ ? write(socket_, at + done, bytes_each - done)
                                              : read(socket_, at + done, bytes_each - done);
        if (moved <= 0) throw ft::RankError("the other rank is gone");
        done += static_cast<size_t>(moved);
      }
    }
  }
  void broadcast(void* data, size_t bytes) override {
    std::string both(2 * bytes, '\0');
    all_gather(data, both.data(), bytes);
    std::memcpy(data, both.data(), bytes);
  }

 private:
  int rank_;
  int socket_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  const int rank = std::atoi(argv[1]);
  PairComm comm(rank, std::atoi(argv[2]));
  const auto numerics = std::strcmp(argv[4], "exact") == 0 ? ft::Numerics::kExact : ft::Numerics::kOfficial;
  try {
    const auto backend = ft::make_cuda_backend(numerics, ft::RankGroup{rank, 2, &comm});
    if (!backend) {
      std::fprintf(stderr, "%s\n", backend.error().message.c_str());
      return 2;
    }
    std::printf("%s\n", (*backend)->description().c_str());
    std::fflush(stdout);
    if (argc > 6 && rank == 1) {
      std::fprintf(stderr, "idle\n");
      pause();
    }
    const auto logits = ft::test::rank_logits(**backend, argv[3]);
    std::ofstream(argv[5], std::ios::binary)
        .write(reinterpret_cast<const char*>(logits.data()),
               static_cast<std::streamsize>(logits.size() * sizeof(float)));
  } catch (const ft::RankError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
  return 0;
}
