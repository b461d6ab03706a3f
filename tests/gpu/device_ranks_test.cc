// Several ranks on one device have the bits of one rank: as threads, which exchange through host memory, and as
// processes, which exchange over peer memory.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>

#include "tests/gpu/rank_logits.h"
#include "tests/support/backends.h"
#include "tests/support/program.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_comm.h"

namespace ft::test {
namespace {

constexpr const char* kCheckpoints[] = {FT_TEST_DATA "/goldens/tiny-v4",
                                        FT_TEST_DATA "/goldens/tiny-v4-r128"};

std::unique_ptr<Backend> cuda(Numerics numerics, const RankGroup& ranks = {}) {
  return std::move(make_cuda_backend(numerics, ranks).value());
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(DeviceRanks, ThreadsHaveTheBitsOfOneRank) {
  for (const Numerics numerics : kBothNumerics) {
    for (const char* checkpoint : kCheckpoints) {
      const auto alone = rank_logits(*cuda(numerics), checkpoint);
      ASSERT_FALSE(alone.empty());
      for (const int count : {2, 4, 8}) {
        SCOPED_TRACE(std::string(checkpoint) + ", " + std::to_string(count) + " ranks, " +
                     std::string(numerics_name(numerics)));
        std::vector<std::vector<float>> logits(static_cast<size_t>(count));
        ThreadGroup(count).run([&](const RankGroup& ranks) {
          logits[static_cast<size_t>(ranks.rank)] = rank_logits(*cuda(numerics, ranks), checkpoint);
        });
        for (const auto& of_rank : logits) EXPECT_TRUE(same_bits(of_rank, alone));
      }
    }
  }
}

// Two processes of gpu_rank, which lies beside this one.
class Processes {
 public:
  Processes(const std::string& checkpoint, Numerics numerics, bool second_idles = false) {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "gpu_rank";
    for (int rank = 0; rank < 2; ++rank) {
      std::vector<std::string> arguments = {std::to_string(rank), std::to_string(sockets[rank]), checkpoint,
                                            numerics == Numerics::kExact ? "exact" : "official",
                                            directory_.file(std::to_string(rank))};
      if (second_idles) arguments.push_back("idle");
      programs_.push_back(std::make_unique<testing::Program>(program, arguments));
    }
    close(sockets[0]);
    close(sockets[1]);
  }

  testing::Program& operator[](int rank) { return *programs_[static_cast<size_t>(rank)]; }

  std::vector<float> logits(int rank) const {
    const std::string bytes = file_bytes(directory_.file(std::to_string(rank)));
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
  }

 private:
  TempDir directory_;
  std::vector<std::unique_ptr<testing::Program>> programs_;
};

TEST(DeviceRanks, ProcessesOverPeerMemoryHaveTheBitsOfOneRank) {
  for (const Numerics numerics : kBothNumerics) {
    const auto alone = rank_logits(*cuda(numerics), kCheckpoints[0]);
    Processes processes(kCheckpoints[0], numerics);
    for (int rank = 0; rank < 2; ++rank) {
      ASSERT_EQ(processes[rank].wait(60), 0) << processes[rank].errors();
      EXPECT_NE(processes[rank].output().find("over peer memory"), std::string::npos)
          << processes[rank].output();
      EXPECT_TRUE(same_bits(processes.logits(rank), alone)) << rank;
    }
  }
}

TEST(DeviceRanks, ARankThatDoesNotComeIsNamedWithinSeconds) {
  Processes processes(kCheckpoints[0], Numerics::kOfficial, true);
  ASSERT_TRUE(processes[1].wait_for("idle")) << processes[1].errors();
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_EQ(processes[0].wait(30), 3) << processes[0].errors();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15));
  EXPECT_NE(processes[0].errors().find("rank 1"), std::string::npos) << processes[0].errors();
}

}  // namespace
}  // namespace ft::test
