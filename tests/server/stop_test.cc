// How the program ends: signals, and weights that are lost while it serves.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/server/raw_client.h"
#include "tests/support/program.h"

namespace ft::server {
namespace {

namespace fs = std::filesystem;
using ft::testing::port_of;
using ft::testing::Program;
using testing::RawClient;

const std::string kNano = FT_MODELS "/v4-nano-dspark";
constexpr int kWeightsChanged = 3;
constexpr const char* kLongStream =
    R"({"messages":[{"role":"user","content":"Tell me a long story."}],"stream":true,"max_tokens":3000,)"
    R"("temperature":1,"ignore_eos":true})";

std::vector<std::string> arguments(const std::string& model, std::vector<std::string> more = {}) {
  // Without a drafter nothing is measured at the start.
  std::vector<std::string> all = {"--model",   model,  "--port",      "0", "--threads",       "1",
                                  "--drafter", "none", "--state-dir", "",  "--max-sequences", "2"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

bool ready(Program& server) {
  return server.wait_for("ready in");
}

// Starts a stream and waits for its first event.
void start_stream(RawClient& client) {
  ASSERT_TRUE(client.post("/v1/chat/completions", kLongStream));
  ASSERT_TRUE(client.read_until("\ndata: ", 30000));
}

// The blocked signals of every thread, as /proc shows them.
std::vector<uint64_t> blocked_signals(pid_t pid) {
  std::vector<uint64_t> masks;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("SigBlk:")) masks.push_back(std::stoull(line.substr(7), nullptr, 16));
  }
  return masks;
}

TEST(Stop, EveryThreadHasTheSignalsBlocked) {
  Program server(FT_SERVER_PROGRAM, arguments(kNano));
  ASSERT_TRUE(ready(server)) << server.errors();
  const std::vector<uint64_t> masks = blocked_signals(server.pid());
  EXPECT_GE(masks.size(), 5u);  // main, signals, log, sockets, engine
  for (const uint64_t mask : masks)
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) EXPECT_TRUE(mask >> (number - 1) & 1) << number;
}

TEST(Stop, ASignalEndsAnIdleServer) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Program server(FT_SERVER_PROGRAM, arguments(kNano));
    ASSERT_TRUE(ready(server)) << server.errors();
    server.signal(number);
    EXPECT_EQ(server.wait(), 0) << number;
    EXPECT_NE(server.errors().find("stopped"), std::string::npos);
  }
}

TEST(Stop, ASignalWhileLoadingEndsItAtOnce) {
  Program server(FT_SERVER_PROGRAM, arguments(kNano));
  ASSERT_TRUE(server.wait_for("options"));  // the log has begun, nothing is loaded
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

TEST(Stop, HangingUpLetsRunningRepliesEnd) {
  Program server(FT_SERVER_PROGRAM, arguments(kNano));
  ASSERT_TRUE(ready(server)) << server.errors();
  RawClient client(port_of(server));
  ASSERT_TRUE(client.post("/v1/chat/completions",
                          R"({"messages":[{"role":"user","content":"Hi"}],"stream":true,"max_tokens":200,)"
                          R"("ignore_eos":true})"));
  ASSERT_TRUE(client.read_until("\ndata: ", 30000));
  server.signal(SIGHUP);
  EXPECT_TRUE(client.read_until("data: [DONE]", 30000));
  EXPECT_EQ(client.buffered().find("\"error\""), std::string::npos) << client.buffered();
  EXPECT_EQ(server.wait(), 0);
}

TEST(Stop, ASecondSignalDoesNotWait) {
  Program server(FT_SERVER_PROGRAM, arguments(kNano, {"--drain-seconds", "60"}));
  ASSERT_TRUE(ready(server)) << server.errors();
  RawClient client(port_of(server));
  start_stream(client);
  server.signal(SIGTERM);
  ASSERT_TRUE(server.wait_for("stopping"));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 130);
}

TEST(Stop, AnIgnoredHangUpStaysIgnored) {  // nohup
  signal(SIGHUP, SIG_IGN);                 // children inherit it
  Program server(FT_SERVER_PROGRAM, arguments(kNano));
  signal(SIGHUP, SIG_DFL);
  ASSERT_TRUE(ready(server)) << server.errors();
  server.signal(SIGHUP);
  EXPECT_EQ(server.wait(0.5), std::nullopt);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

TEST(Stop, AFileSizeLimitEndsNothing) {
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{600, old.rlim_max};  // less than the log of a start
  setrlimit(RLIMIT_FSIZE, &small);
  Program server(FT_SERVER_PROGRAM, arguments(kNano));
  setrlimit(RLIMIT_FSIZE, &old);
  while (server.errors().size() < 600 && !server.wait(0.01)) {
  }
  EXPECT_EQ(server.wait(0.2), std::nullopt);  // SIGXFSZ would have ended it
  EXPECT_EQ(server.errors().size(), 600u);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

// A copy of the nano model that a test may spoil.
class LostWeights : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(model_);
    for (const auto& entry : fs::directory_iterator(kNano))
      fs::copy_file(entry.path(), model_ + "/" + entry.path().filename().string(),
                    fs::copy_options::overwrite_existing);
  }
  void expect_named(const Program& server) {
    EXPECT_NE(server.errors().find(weights_ + ": "), std::string::npos) << server.errors();
  }

  TempDir directory_;
  const std::string model_ = directory_.file("model");
  const std::string weights_ = model_ + "/model.safetensors";
};

TEST_F(LostWeights, WritingThemEndsTheServerAndItsStreams) {
  Program server(FT_SERVER_PROGRAM, arguments(model_));
  ASSERT_TRUE(ready(server)) << server.errors();
  RawClient client(port_of(server));
  start_stream(client);
  {
    std::fstream file(weights_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-64, std::ios::end);
    file.write("overwritten", 11);
  }
  EXPECT_TRUE(client.read_until("data: [DONE]", 30000));
  EXPECT_NE(client.buffered().find("\"error\""), std::string::npos);
  EXPECT_EQ(server.wait(), kWeightsChanged) << server.errors();
  expect_named(server);
}

TEST_F(LostWeights, ShrinkingEndsTheServerByName) {
  for (const bool busy : {false, true}) {
    SetUp();
    Program server(FT_SERVER_PROGRAM, arguments(model_));
    ASSERT_TRUE(ready(server)) << server.errors();
    RawClient client(port_of(server));
    if (busy) start_stream(client);
    fs::resize_file(weights_, 4096);
    // Found at the next look, or by the bus error of a step before it.
    EXPECT_EQ(server.wait(), kWeightsChanged) << server.errors();
    expect_named(server);
  }
}

TEST_F(LostWeights, ShrinkingWhileLoadingEndsTheServerByName) {
  Program server(FT_SERVER_PROGRAM, arguments(model_));
  ASSERT_TRUE(server.wait_for("loading "));
  // Whenever it comes in the load: refused as truncated, a bus error, or found afterwards.
  fs::resize_file(weights_, 4096);
  const std::optional<int> code = server.wait();
  EXPECT_TRUE(code == kWeightsChanged || code == 2) << server.errors();
  expect_named(server);
}

TEST_F(LostWeights, ReplacingThemChangesNothing) {
  Program server(FT_SERVER_PROGRAM, arguments(model_));
  ASSERT_TRUE(ready(server)) << server.errors();
  std::ofstream(weights_ + ".new") << "other weights";
  fs::rename(weights_ + ".new", weights_);
  EXPECT_TRUE(server.wait_for("was replaced", 10)) << server.errors();
  RawClient client(port_of(server));
  ASSERT_TRUE(
      client.post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":5})"));
  EXPECT_EQ(client.read_response(30000).status, 200);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
}  // namespace ft::server
