// The programs as ranks that only know each other's address: what torchrun sets, or a script.
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>

#include "tests/ranks/rank_programs.h"

namespace ft::ranks {
namespace {

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

TEST(FullSocketRanks, AnotherCheckpointIsNamedBeforeAnythingIsServed) {
  const TwoFolders two;
  two.change_second_weights();
  SocketRanks ranks("model", {}, two.folders());
  EXPECT_EQ(ranks.leader().wait(60), std::optional<int>(2)) << ranks.leader().errors();
  expect_end(ranks.follower(), 2);
  EXPECT_TRUE(has(ranks.leader().errors(), "has another checkpoint at")) << ranks.leader().errors();
  EXPECT_TRUE(has(ranks.leader().errors(), "rank 1 (pid ")) << ranks.leader().errors();
}

TEST(FullSocketRanks, AFollowerThatCannotReadItsShardIsNamed) {
  const TwoFolders two;
  two.cut_second_weights();
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

TEST(SocketRanks, TasksThatCannotFindEachOtherDoNotServeAlone) {
  Program tasks("/usr/bin/env", {"SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=0", FT_SERVER_PROGRAM, "--check"});
  EXPECT_EQ(tasks.wait(20), std::optional<int>(2));
  EXPECT_TRUE(has(tasks.errors(), "srun has started 4 tasks") && has(tasks.errors(), "--mpi=pmix"))
      << tasks.errors();
  Program alone("/usr/bin/env", {"SLURM_STEP_NUM_TASKS=4", "WORLD_SIZE=1", FT_SERVER_PROGRAM, "--model",
                                 kNano, "--check", "--state-dir", ""});
  EXPECT_EQ(alone.wait(60), std::optional<int>(0)) << alone.errors();
}

// As torchrun starts them: it keeps a store of its own on MASTER_PORT.
TEST(FullSocketRanks, EightGiveTheLogitsOfOne) {
  const std::string model = FT_TEST_DATA "/goldens/tiny-v4";
  const TempDir directory;
  directory.write("tokens.json", "[[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [2, 7, 1, 8, 2, 8]]");
  const auto words = [&](const std::string& out) {
    return Words{"logits", "--model",           model,       "--tokens", directory.file("tokens.json"),
                 "--out",  directory.file(out), "--backend", "cpu",      "--threads",
                 "1"};
  };
  Program alone(FT_EVAL_PROGRAM, words("alone"));
  ASSERT_EQ(alone.wait(60), std::optional<int>(0)) << alone.errors();
  const std::string port = std::to_string(support::free_port() - 1);
  std::vector<std::unique_ptr<Program>> ranks;
  for (int rank = 0; rank < 8; ++rank) {
    Words all = {"RANK=" + std::to_string(rank),
                 "LOCAL_RANK=" + std::to_string(rank),
                 "WORLD_SIZE=8",
                 "MASTER_ADDR=127.0.0.1",
                 "MASTER_PORT=" + port,
                 "TORCHELASTIC_USE_AGENT_STORE=True",
                 FT_EVAL_PROGRAM};
    const Words rest = words("shared");
    all.insert(all.end(), rest.begin(), rest.end());
    ranks.push_back(std::make_unique<Program>("/usr/bin/env", all));
  }
  for (const auto& rank : ranks) EXPECT_EQ(rank->wait(120), std::optional<int>(0)) << rank->errors();
  EXPECT_TRUE(has(ranks[0]->errors(), "ranks: 8")) << ranks[0]->errors();
  EXPECT_EQ(file_bytes(directory.file("shared")), file_bytes(directory.file("alone")));
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

}  // namespace
}  // namespace ft::ranks
