// The programs as ranks: processes that a launcher has started, their clients, and their ends.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/server/raw_client.h"
#include "tests/support/program.h"
#include "tests/support/rank_threads.h"

namespace ft::ranks {
namespace {

using ft::testing::port_of;
using ft::testing::Program;
using server::testing::RawClient;
using Words = std::vector<std::string>;

const std::string kNano = FT_MODELS "/v4-nano-dspark";
const std::string kMpirun = FT_MPIRUN;
constexpr const char* kStream =
    R"({"messages":[{"role":"user","content":"Tell me a long story."}],"stream":true,"max_tokens":3000,)"
    R"("temperature":1,"seed":5,"ignore_eos":true})";
constexpr const char* kReply =
    R"({"messages":[{"role":"user","content":"What is 12 plus 30?"}],"max_tokens":60,"temperature":1,"seed":7})";

Words server_words(const std::string& model, const Words& more) {
  Words words = {"--model",     model, "--port",          "0", "--backend",      "cpu", "--threads", "1",
                 "--state-dir", "",    "--max-sequences", "2", "--rank-timeout", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Two ranks that a launcher without MPI has started: only variables.
struct SocketRanks {
  explicit SocketRanks(const std::string& model = kNano, const Words& more = {}, const Words& folders = {}) {
    const std::string port = std::to_string(support::free_port());
    for (int rank = 0; rank < 2; ++rank) {
      Words words = {"RANK=" + std::to_string(rank), "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1",
                     "MASTER_PORT=" + port};
      if (!folders.empty()) words.insert(words.begin(), {"-C", folders[static_cast<size_t>(rank)]});
      words.push_back(FT_SERVER_PROGRAM);
      const Words rest = server_words(model, more);
      words.insert(words.end(), rest.begin(), rest.end());
      ranks.push_back(std::make_unique<Program>("/usr/bin/env", words));
    }
  }
  Program& leader() { return *ranks[0]; }
  Program& follower() { return *ranks[1]; }
  std::vector<std::unique_ptr<Program>> ranks;
};

bool has(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

size_t count_of(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) ++count;
  return count;
}

std::string reply_of(Program& server) {
  RawClient client(port_of(server));
  EXPECT_TRUE(client.post("/v1/chat/completions", kReply));
  const auto response = client.read_response(60000);
  EXPECT_EQ(response.status, 200) << response.body;
  return nlohmann::json::parse(response.body)["choices"].dump();
}

// Begins a long reply; the test then breaks a rank, and the client has to be told.
void expect_clean_error(Program& server, const std::function<void()>& break_rank) {
  RawClient client(port_of(server));
  ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
  ASSERT_TRUE(client.read_until("\ndata: ", 30000));
  break_rank();
  EXPECT_TRUE(client.read_until("\"error\"", 10000)) << client.buffered().substr(0, 2000);
}

void expect_end(Program& program, int code) {
  EXPECT_EQ(program.wait(10), std::optional<int>(code)) << program.errors();
}

TEST(FullSocketRanks, ServeTheBytesOfOneRankAndEndTogether) {
  Program alone(FT_SERVER_PROGRAM, server_words(kNano, {}));
  ASSERT_TRUE(alone.wait_for("ready in")) << alone.errors();
  const std::string expected = reply_of(alone);
  SocketRanks ranks;
  ASSERT_TRUE(ranks.leader().wait_for("ready in")) << ranks.leader().errors();
  EXPECT_EQ(reply_of(ranks.leader()), expected);
  ranks.follower().signal(SIGTERM);  // as launchers do to all; rank 0 decides
  EXPECT_EQ(reply_of(ranks.leader()), expected);
  ranks.leader().signal(SIGTERM);
  expect_end(ranks.leader(), 0);
  expect_end(ranks.follower(), 0);
}

TEST(FullSocketRanks, AKilledFollowerEndsTheServerWithAMessageAndClientsWithAnError) {
  SocketRanks ranks;
  ASSERT_TRUE(ranks.leader().wait_for("ready in")) << ranks.leader().errors();
  expect_clean_error(ranks.leader(), [&] { ranks.follower().signal(SIGKILL); });
  expect_end(ranks.leader(), kExitRankLost);
  const std::string message = "foretoken-server: rank 1 (pid " + std::to_string(ranks.follower().pid());
  EXPECT_EQ(count_of(ranks.leader().errors(), message), 1u) << ranks.leader().errors();
  EXPECT_TRUE(has(ranks.leader().errors(), "has ended: its connection was closed"));
}

TEST(FullSocketRanks, AKilledRank0EndsItsFollowers) {
  SocketRanks ranks;
  ASSERT_TRUE(ranks.leader().wait_for("ready in")) << ranks.leader().errors();
  ranks.leader().signal(SIGKILL);
  expect_end(ranks.follower(), kExitRankLost);
  const std::string message = "foretoken-server: rank 0 (pid " + std::to_string(ranks.leader().pid());
  EXPECT_EQ(count_of(ranks.follower().errors(), message), 1u) << ranks.follower().errors();
}

TEST(FullSocketRanks, AStoppedFollowerIsGivenUp) {
  SocketRanks ranks;
  ASSERT_TRUE(ranks.leader().wait_for("ready in")) << ranks.leader().errors();
  expect_clean_error(ranks.leader(), [&] { ranks.follower().signal(SIGSTOP); });
  expect_end(ranks.leader(), kExitRankLost);
  EXPECT_TRUE(has(ranks.leader().errors(), "has given no sign of life for 2.")) << ranks.leader().errors();
  ranks.follower().signal(SIGCONT);
  expect_end(ranks.follower(), kExitRankLost);
}

// Folders in which the relative path "model" is something else for each rank.
struct TwoFolders {
  TwoFolders() {
    for (const char* name : {"a", "b"}) std::filesystem::create_directories(directory.file(name));
    for (const char* name : {"a/model", "b/model"}) std::filesystem::copy(kNano, directory.file(name));
  }
  Words folders() const { return {directory.file("a"), directory.file("b")}; }
  TempDir directory;
};

TEST(FullSocketRanks, AnotherCheckpointIsNamedBeforeAnythingIsServed) {
  const TwoFolders two;
  // The last bytes of every shard: the end of a tensor.
  for (const auto& entry : std::filesystem::directory_iterator(two.directory.file("b/model"))) {
    if (entry.path().extension() != ".safetensors") continue;
    std::string bytes = file_bytes(entry.path().string());
    for (size_t i = bytes.size() / 2; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ 1);
    two.directory.write("b/model/" + entry.path().filename().string(), bytes);
  }
  SocketRanks ranks("model", {}, two.folders());
  EXPECT_EQ(ranks.leader().wait(60), std::optional<int>(2)) << ranks.leader().errors();
  expect_end(ranks.follower(), 2);
  EXPECT_TRUE(has(ranks.leader().errors(), "has another checkpoint at")) << ranks.leader().errors();
  EXPECT_TRUE(has(ranks.leader().errors(), "rank 1 (pid ")) << ranks.leader().errors();
}

TEST(FullSocketRanks, AFollowerThatCannotReadItsShardIsNamed) {
  const TwoFolders two;
  for (const auto& entry : std::filesystem::directory_iterator(two.directory.file("b/model")))
    if (entry.path().extension() == ".safetensors") std::filesystem::resize_file(entry.path(), 1000);
  SocketRanks ranks("model", {}, two.folders());
  EXPECT_EQ(ranks.leader().wait(60), std::optional<int>(2)) << ranks.leader().errors();
  expect_end(ranks.follower(), 2);
  EXPECT_TRUE(has(ranks.leader().errors(), "rank 1 (pid ") &&
              has(ranks.leader().errors(), "cannot load its part"))
      << ranks.leader().errors();
}

TEST(SocketRanks, AMissingRankIsNamedAndAWrongSizeIsRefused) {
  Program three("/usr/bin/env",
                {"RANK=0", "WORLD_SIZE=3", "MASTER_ADDR=127.0.0.1", FT_SERVER_PROGRAM, "--check"});
  EXPECT_EQ(three.wait(20), std::optional<int>(2));
  EXPECT_TRUE(has(three.errors(), "WORLD_SIZE is 3: a model is shared by 1, 2, 4 or 8 ranks"))
      << three.errors();
  Program nowhere("/usr/bin/env", {"RANK=1", "WORLD_SIZE=2", FT_SERVER_PROGRAM, "--check"});
  EXPECT_EQ(nowhere.wait(20), std::optional<int>(2));
  EXPECT_TRUE(has(nowhere.errors(), "MASTER_ADDR")) << nowhere.errors();
  Program unstarted(FT_SERVER_PROGRAM, {"--ranks", "2", "--model", kNano});
  EXPECT_EQ(unstarted.wait(20), std::optional<int>(2));
  EXPECT_TRUE(has(unstarted.errors(), "./foretoken serve --ranks 2")) << unstarted.errors();
}

TEST(RankPlan, IsPrintedWithoutRanksAndKeptToByThem) {
  Program plan(FT_SERVER_PROGRAM, server_words(kNano, {"--check", "--ranks", "2"}));
  ASSERT_EQ(plan.wait(60), std::optional<int>(0)) << plan.errors();
  const auto planned = nlohmann::json::parse(plan.output())["ranks"];
  SocketRanks ranks(kNano, {"--check"});
  ASSERT_EQ(ranks.leader().wait(60), std::optional<int>(0)) << ranks.leader().errors();
  expect_end(ranks.follower(), 0);
  const auto read = nlohmann::json::parse(ranks.leader().output())["ranks"];
  ASSERT_EQ(planned.size(), 2u);
  ASSERT_EQ(read.size(), 2u);
  for (size_t rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(planned[rank]["planned_bytes"], read[rank]["planned_bytes"]);
    EXPECT_EQ(read[rank]["read_bytes"], read[rank]["planned_bytes"]);
  }
}

// For env: mpirun as tests run it: as root too, and on fewer cores than ranks. Open MPI looks for a shell to reach
// other hosts with even where there are none.
Words mpi_words(int size, const std::string& program, const Words& more) {
  Words words = {
      "PATH=/usr/bin:/bin", kMpirun, "-n",   std::to_string(size), "--allow-run-as-root", "--oversubscribe",
      "--bind-to",          "none",  program};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class FullMpiRanks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kMpirun.empty()) GTEST_SKIP() << "SKIPPED: this build has no MPI";
  }
  // The process ids of ranks in the log of rank 0.
  static pid_t pid_of(const Program& server, int rank) {
    std::smatch match;
    const std::string log = server.errors();
    const std::regex pattern("rank " + std::to_string(rank) + R"( \(pid (\d+) on)");
    return std::regex_search(log, match, pattern) ? std::stoi(match[1]) : -1;
  }
  static bool gone(pid_t pid) {
    for (int look = 0; look < 500; ++look) {
      if (kill(pid, 0) != 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
};

TEST_F(FullMpiRanks, ServeTheBytesOfOneRankAndEndTogether) {
  Program alone(FT_SERVER_PROGRAM, server_words(kNano, {}));
  ASSERT_TRUE(alone.wait_for("ready in")) << alone.errors();
  const std::string expected = reply_of(alone);
  for (const int size : {2, 4}) {
    Program ranks("/usr/bin/env",
                  mpi_words(size, FT_SERVER_PROGRAM, server_words(kNano, {"--ranks", std::to_string(size)})));
    ASSERT_TRUE(ranks.wait_for("ready in")) << ranks.errors();
    EXPECT_EQ(reply_of(ranks), expected) << size;
    kill(pid_of(ranks, 0), SIGTERM);
    EXPECT_EQ(ranks.wait(20), std::optional<int>(0)) << ranks.errors();
  }
}

TEST_F(FullMpiRanks, KilledAndStoppedRanksEndAllWithinSeconds) {
  struct Case {
    int rank;
    int signal;
  };
  for (const Case& one : {Case{1, SIGKILL}, Case{1, SIGSTOP}, Case{0, SIGKILL}}) {
    Program ranks("/usr/bin/env", mpi_words(2, FT_SERVER_PROGRAM, server_words(kNano, {})));
    ASSERT_TRUE(ranks.wait_for("ready in")) << ranks.errors();
    const pid_t pids[] = {pid_of(ranks, 0), pid_of(ranks, 1)};
    const auto begin = std::chrono::steady_clock::now();
    if (one.rank == 1) {
      expect_clean_error(ranks, [&] { kill(pids[1], one.signal); });
    } else {
      kill(pids[0], one.signal);
    }
    const auto code = ranks.wait(10);
    ASSERT_TRUE(code.has_value()) << "rank " << one.rank << ", signal " << one.signal << ": "
                                  << ranks.errors();
    EXPECT_NE(*code, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    const std::string name = "foretoken-server: rank " + std::to_string(one.rank) + " (pid ";
    EXPECT_EQ(count_of(ranks.errors(), name), 1u) << ranks.errors();
    for (const pid_t pid : pids) EXPECT_TRUE(gone(pid)) << pid;
  }
}

TEST_F(FullMpiRanks, TheIdentityGridIsClean) {
  for (const int size : {2, 4}) {
    Program grid("/usr/bin/env", mpi_words(size, FT_EVAL_PROGRAM,
                                           {"identity", "--model", kNano, "--backend", "cpu", "--prompts",
                                            FT_TEST_DATA "/nano/eval_qa.jsonl", "--every",
                                            size == 2 ? "3" : "9", "--tokens", "6000"}));
    EXPECT_EQ(grid.wait(600), std::optional<int>(0)) << grid.errors() << grid.output();
    EXPECT_TRUE(has(grid.errors(), "ranks: " + std::to_string(size))) << grid.errors();
  }
}

}  // namespace
}  // namespace ft::ranks
