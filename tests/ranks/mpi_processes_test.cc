// The programs as ranks of mpirun: the bytes of one rank, and how they end.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <iostream>
#include <regex>

#include "eval/random_checkpoint.h"
#include "tests/ranks/rank_programs.h"

namespace ft::ranks {
namespace {

const std::string kMpirun = FT_MPIRUN;

// For env: mpirun as tests run it: as root too, and on fewer cores than ranks. Open MPI looks for a shell to reach
// other hosts with even where there are none.
Words mpi_words(const Words& ranks) {
  Words words = {"PATH=/usr/bin:/bin", kMpirun,     "--allow-run-as-root",
                 "--oversubscribe",    "--bind-to", "none"};
  words.insert(words.end(), ranks.begin(), ranks.end());
  return words;
}

// `size` ranks of one command.
Words mpi_words(int size, const std::string& program, const Words& more) {
  Words words = {"-n", std::to_string(size), program};
  words.insert(words.end(), more.begin(), more.end());
  return mpi_words(words);
}

// A rank in each of these folders.
Words mpi_words_in(const Words& folders, const std::string& program, const Words& more) {
  Words words;
  for (const std::string& folder : folders) {
    if (!words.empty()) words.emplace_back(":");
    words.insert(words.end(), {"-n", "1", "-wdir", folder, program});
    words.insert(words.end(), more.begin(), more.end());
  }
  return mpi_words(words);
}

// Processes that work in `folder` or in one that it holds.
std::vector<pid_t> processes_in(const std::string& folder) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    const std::string works_in = std::filesystem::read_symlink(entry.path() / "cwd", gone);
    if (!gone && works_in.starts_with(folder)) found.push_back(std::stoi(name));
  }
  return found;
}

// The process of a rank, which the log of rank 0 names.
pid_t pid_of(const Program& server, int rank) {
  std::smatch match;
  const std::string log = server.errors();
  const std::regex pattern("rank " + std::to_string(rank) + R"( \(pid (\d+) on)");
  return std::regex_search(log, match, pattern) ? std::stoi(match[1]) : -1;
}

// Two ranks that are to end because of one of them.
class BrokenRanks {
 public:
  explicit BrokenRanks(const Words& folders, const std::string& model)
      : program_("/usr/bin/env", mpi_words_in(folders, FT_SERVER_PROGRAM, server_words(model, {}))) {}

  Program& program() { return program_; }
  // Within 10 s of `begin` all have ended, none of them well, and one line of the log names rank and cause.
  void expect_end(std::chrono::steady_clock::time_point begin, const std::string& folder, int rank,
                  const std::string& cause) {
    const auto code = program_.wait(10);
    ASSERT_TRUE(code.has_value()) << program_.errors();
    EXPECT_NE(*code, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    EXPECT_TRUE(processes_in(folder).empty());
    const std::regex message("foretoken-server: rank " + std::to_string(rank) +
                             R"( \(pid \d+ on [^)]*\) .*)" + cause);
    const std::string log = program_.errors();
    EXPECT_TRUE(std::regex_search(log, message)) << log;
    // A rank that was stopped says when it wakes that the others are gone.
    EXPECT_EQ(count_of(log, "foretoken-server: rank " + std::to_string(rank) + " (pid "), 1u) << log;
  }

 private:
  Program program_;
};

class FullMpiRanks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kMpirun.empty()) GTEST_SKIP() << "SKIPPED: this build has no MPI";
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

// A launcher that this MPI does not understand, such as srun with another protocol.
TEST_F(FullMpiRanks, DoNotServeAloneWhereMpiDoesNotFindTheOthers) {
  Program one("/usr/bin/env",
              {"PATH=/usr/bin:/bin", "PMI_RANK=0", "PMI_SIZE=4", FT_SERVER_PROGRAM, "--check"});
  EXPECT_EQ(one.wait(60), std::optional<int>(1)) << one.errors();
  EXPECT_TRUE(has(one.errors(), "the launcher has started 4 processes, of which MPI finds 1"))
      << one.errors();
}

TEST_F(FullMpiRanks, KilledAndStoppedRanksEndAllWithinSeconds) {
  struct Case {
    int rank;
    int signal;
    const char* cause;
  };
  for (const Case& one : {Case{1, SIGKILL, "has ended: its connection was closed"},
                          Case{1, SIGSTOP, "has given no sign of life for 2."},
                          Case{0, SIGKILL, "has ended: its connection was closed"}}) {
    SCOPED_TRACE(fmt::format("rank {}, signal {}", one.rank, one.signal));
    const TempDir folder;
    BrokenRanks ranks({folder.path(), folder.path()}, kNano);
    ASSERT_TRUE(ranks.program().wait_for("ready in")) << ranks.program().errors();
    ASSERT_GE(processes_in(folder.path()).size(), 2u);
    auto begin = std::chrono::steady_clock::now();
    if (one.rank == 1) {
      expect_clean_error(ranks.program(), [&] {
        begin = std::chrono::steady_clock::now();
        kill(pid_of(ranks.program(), 1), one.signal);
      });
    } else {
      kill(pid_of(ranks.program(), 0), one.signal);
    }
    ranks.expect_end(begin, folder.path(), one.rank, one.cause);
  }
}

TEST_F(FullMpiRanks, AnotherCheckpointOfAFollowerIsNamedBeforeAnythingIsServed) {
  const TwoFolders two;
  two.change_second_weights();
  const auto begin = std::chrono::steady_clock::now();
  BrokenRanks ranks(two.folders(), "model");
  ranks.expect_end(begin, two.directory.path(), 1,
                   "has another checkpoint at .* the bytes of tensors differ");
}

TEST_F(FullMpiRanks, AFollowerThatCannotReadItsWeightsIsNamed) {
  for (const bool missing : {false, true}) {
    const TwoFolders two;
    if (missing) {
      two.change_second([](const std::string& path) { std::filesystem::remove(path); });
    } else {
      two.cut_second_weights();
    }
    const auto begin = std::chrono::steady_clock::now();
    BrokenRanks ranks(two.folders(), "model");
    ranks.expect_end(begin, two.directory.path(), 1, "cannot load its part: .*safetensors");
  }
}

// The tests of goldens, digests and whole models, with all ranks behind the backend.
void expect_goldens(int size) {
  Program tests("/usr/bin/env", mpi_words(size, FT_MODEL_TESTS_PROGRAM, {"--gtest_brief=1"}));
  EXPECT_EQ(tests.wait(800), std::optional<int>(0)) << tests.errors() << tests.output();
  EXPECT_TRUE(has(tests.errors(), "ranks: " + std::to_string(size))) << tests.errors();
  EXPECT_TRUE(has(tests.output(), "[  PASSED  ]")) << tests.output();
}

TEST_F(FullMpiRanks, TwoHaveTheGoldensDigestsAndBitsOfOne) {
  expect_goldens(2);
}

TEST_F(FullMpiRanks, FourHaveTheGoldensDigestsAndBitsOfOne) {
  expect_goldens(4);
}

// 221 MiB of weights, nearly all of which ranks share, with the tokenizer of the nano model.
std::string large_checkpoint(const TempDir& directory) {
  nlohmann::json config = nlohmann::json::parse(file_bytes(FT_MODELS "/v4-nano/config.json"));
  config["hidden_size"] = 1024;
  config["moe_intermediate_size"] = 2048;
  config["num_attention_heads"] = 16;
  config["o_groups"] = 8;
  config["o_lora_rank"] = 128;
  config["q_lora_rank"] = 256;
  config["max_position_embeddings"] = 4096;
  directory.write("large.json", config.dump());
  eval::RandomCheckpointOptions options;
  options.config = directory.file("large.json");
  options.out = directory.file("large");
  const auto made = eval::make_random_checkpoint(options);
  EXPECT_TRUE(made) << made.error().message;
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"})
    std::filesystem::copy(std::string(FT_MODELS "/v4-nano/") + name, options.out + "/" + name);
  return options.out;
}

// What a process has in memory: its own, and its part of what it shares with others.
int64_t memory_of(pid_t pid) {
  const std::string text = file_bytes("/proc/" + std::to_string(pid) + "/smaps_rollup");
  std::smatch match;
  const bool found = std::regex_search(text, match, std::regex(R"(\nPss: +(\d+) kB)"));
  EXPECT_TRUE(found) << text;
  return found ? std::stoll(match[1]) << 10 : 0;
}

TEST_F(FullMpiRanks, TakeTheMemoryOfThePlan) {
  const TempDir directory;
  const std::string model = large_checkpoint(directory);
  // As many rows a step as a prompt gives, so that the buffers are full.
  const Words words = server_words(model, {"--context", "2048", "--prefix-cache-mib", "0", "--batch-rows",
                                           "128", "--prefill-chunk", "128"});
  Words check = words;
  check.emplace_back("--check");
  Program planned("/usr/bin/env", mpi_words(2, FT_SERVER_PROGRAM, check));
  ASSERT_EQ(planned.wait(120), std::optional<int>(0)) << planned.errors();
  const auto plan = nlohmann::json::parse(planned.output())["ranks"];
  ASSERT_EQ(plan.size(), 2u);

  Program ranks("/usr/bin/env", mpi_words(2, FT_SERVER_PROGRAM, words));
  ASSERT_TRUE(ranks.wait_for("ready in", 120)) << ranks.errors();
  // Prompts that reach every expert and nearly every word, and fill the cache.
  RawClient first(port_of(ranks)), second(port_of(ranks));
  for (RawClient* client : {&first, &second}) {
    nlohmann::json request = {{"max_tokens", 20}, {"ignore_eos", true}};
    for (int i = 0; i < 1950; ++i) request["prompt"].push_back(5 + (client == &first ? i : 2020 - i));
    ASSERT_TRUE(client->post("/v1/completions", request.dump()));
  }
  for (RawClient* client : {&first, &second}) {
    const auto response = client->read_response(300000);
    ASSERT_EQ(response.status, 200) << response.body;
  }
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(plan[static_cast<size_t>(rank)]["read_bytes"],
              plan[static_cast<size_t>(rank)]["planned_bytes"]);
    // On one host both have the pages of what every rank reads, which count half for each.
    const int64_t expected = plan[static_cast<size_t>(rank)]["memory_bytes"].get<int64_t>() -
                             plan[static_cast<size_t>(rank)]["of_every_rank"].get<int64_t>() / 2;
    const int64_t seen = memory_of(pid_of(ranks, rank));
    std::cerr << fmt::format("rank {}: {:.1f} MiB in memory, {:.1f} MiB planned\n", rank,
                             static_cast<double>(seen) / (1 << 20),
                             static_cast<double>(expected) / (1 << 20));
    EXPECT_NEAR(static_cast<double>(seen) / static_cast<double>(expected), 1.0, 0.03);
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
