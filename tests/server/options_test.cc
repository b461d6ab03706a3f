#include "server/options.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace ft::server {
namespace {

Result<Command> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "foretoken-server");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(Options, HaveDefaults) {
  const auto command = parse({});
  ASSERT_TRUE(command);
  const Options& options = std::get<Options>(*command);
  EXPECT_EQ(options.host, "127.0.0.1");
  EXPECT_EQ(options.port, 8000);
  EXPECT_EQ(options.mode, "official");
  EXPECT_EQ(options.prefill_gemm, "invariant");
  EXPECT_EQ(options.max_body_bytes, 0);  // as large as the context calls for
  EXPECT_EQ(options.tree_nodes, 0);      // the scheduler decides
  EXPECT_EQ(options.drafter, "auto");
  EXPECT_EQ(options.kv_cache_mib, 0);
  EXPECT_EQ(options.prefix_cache_mib, 256);
  EXPECT_EQ(options.batch_rows, 256);
  EXPECT_EQ(options.prefill_chunk, 128);
  EXPECT_EQ(options.canary_rate, 0.0002);
  EXPECT_FALSE(options.check);
}

TEST(Options, KeepStateInTheUsersHome) {
  const passwd* user = getpwuid(getuid());
  if (user == nullptr || !std::filesystem::is_directory(user->pw_dir))
    GTEST_SKIP() << "SKIPPED: the user has no home";
  EXPECT_EQ(std::get<Options>(*parse({})).state_dir, std::string(user->pw_dir) + "/.cache/foretoken");
  EXPECT_EQ(std::get<Options>(*parse({"--state-dir", "/s"})).state_dir, "/s");
  EXPECT_EQ(std::get<Options>(*parse({"--state-dir", ""})).state_dir, "");
  EXPECT_EQ(Options{}.state_dir, "");  // who uses the library decides
}

TEST(Options, ReadFlagsOfTheEngine) {
  const auto command = parse({"--kv-cache-mib", "4096", "--prefix-cache-mib", "0", "--batch-rows", "64",
                              "--prefill-chunk", "32", "--canary-rate", "1", "--tree-nodes", "0"});
  ASSERT_TRUE(command) << command.error().message;
  const Options& options = std::get<Options>(*command);
  EXPECT_EQ(options.kv_cache_mib, 4096);
  EXPECT_EQ(options.prefix_cache_mib, 0);
  EXPECT_EQ(options.batch_rows, 64);
  EXPECT_EQ(options.prefill_chunk, 32);
  EXPECT_EQ(options.canary_rate, 1.0);
  EXPECT_EQ(options.tree_nodes, 0);
  for (const char* drafter : {"auto", "none", "dspark", "mtp", "ngram", "dspark+ngram", "mtp+ngram"}) {
    const auto with = parse({"--drafter", drafter});
    ASSERT_TRUE(with) << drafter;
    EXPECT_EQ(std::get<Options>(*with).drafter, drafter);
  }
}

TEST(Options, SmallStepsReadSmallChunks) {
  EXPECT_EQ(std::get<Options>(*parse({"--batch-rows", "16"})).prefill_chunk, 16);
  EXPECT_EQ(std::get<Options>(*parse({"--batch-rows", "1024"})).prefill_chunk, 128);
  const auto command = parse({"--batch-rows", "16", "--prefill-chunk", "17"});
  ASSERT_FALSE(command);
  EXPECT_EQ(command.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(command.error().message.find("--prefill-chunk is 17"), std::string::npos)
      << command.error().message;
}

TEST(Options, ReadFlags) {
  const auto command = parse(
      {"--model",   "/m",        "--port=0",     "--backend",  "cpu",    "--mode",  "exact",
       "--drafter", "none",      "--tree-nodes", "4",          "--tree", "chain",   "--served-model-name",
       "a,b",       "--api-key", "k1,k2",        "--thinking", "false",  "--check", "--cors-origin",
       ""});
  ASSERT_TRUE(command) << command.error().message;
  const Options& options = std::get<Options>(*command);
  EXPECT_EQ(options.model, "/m");
  EXPECT_EQ(options.port, 0);
  EXPECT_EQ(options.tree_nodes, 4);
  EXPECT_EQ(options.served_model_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.api_keys.size(), 2U);
  EXPECT_FALSE(options.thinking);
  EXPECT_TRUE(options.check);
  EXPECT_EQ(options.cors_origin, "");
}

TEST(Options, FlagsWinOverTheFile) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "foretoken_options_test.toml";
  std::ofstream(file) << "port = 9000\nqueue = 7\ntree-nodes = 3\nprefix-cache-mib = 9\nkv-cache-mib = 8\n"
                         "canary-rate = 0.5\nstate-dir = \"/kept\"\nbatch-rows = 100\nprefill-chunk = 50\n"
                         "drafter = \"mtp+ngram\"\n";
  const auto command = parse({"--config", file.c_str(), "--port", "9001"});
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(std::get<Options>(*command).port, 9001);
  const Options& options = std::get<Options>(*command);
  EXPECT_EQ(options.queue, 7);
  EXPECT_EQ(options.tree_nodes, 3);
  EXPECT_EQ(options.prefix_cache_mib, 9);
  EXPECT_EQ(options.kv_cache_mib, 8);
  EXPECT_EQ(options.canary_rate, 0.5);
  EXPECT_EQ(options.state_dir, "/kept");
  EXPECT_EQ(options.batch_rows, 100);
  EXPECT_EQ(options.prefill_chunk, 50);
  EXPECT_EQ(options.drafter, "mtp+ngram");
  EXPECT_EQ(
      std::get<Options>(*parse({"--config", file.c_str(), "--state-dir", "", "--tree-nodes", "0"})).state_dir,
      "");
  std::ofstream(file) << "prot = 9000\n";
  EXPECT_FALSE(parse({"--config", file.c_str()}));
  std::filesystem::remove(file);
  EXPECT_FALSE(parse({"--config", "/nowhere/x.toml"}));
}

TEST(Options, AConfigFileIsAFile) {
  const TempDir directory;
  const auto expect_refused = [](const std::string& path, const std::string& fragment) {
    const auto command = parse({"--config", path.c_str()});
    ASSERT_FALSE(command);
    EXPECT_NE(command.error().message.find(fragment), std::string::npos) << command.error().message;
  };
  expect_refused("/dev/zero", "/dev/zero: is a device");
  expect_refused(directory.path(), "is a folder");
  ASSERT_EQ(mkfifo(directory.file("pipe").c_str(), 0600), 0);
  expect_refused(directory.file("pipe"), "is a FIFO");
  std::filesystem::resize_file(directory.write("long", "port = 1\n"), 64 << 20);
  expect_refused(directory.file("long"), "at most");
}

TEST(Options, RefuseNamesTheFlag) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"--port", "70000"},
                                             {"--port", "x"},
                                             {"--backend", "tpu"},
                                             {"--mode", "fast"},
                                             {"--prefill-gemm", "fast"},
                                             {"--drafter", "eagle"},
                                             {"--drafter", "ngram+dspark"},
                                             {"--tree-nodes", "-1"},
                                             {"--tree-nodes", "65"},
                                             {"--kv-cache-mib", "-1"},
                                             {"--prefix-cache-mib", "-1"},
                                             {"--batch-rows", "0"},
                                             {"--prefill-chunk", "0"},
                                             {"--canary-rate", "1.5"},
                                             {"--canary-rate", "-0.1"},
                                             {"--canary-rate", "nan"},
                                             {"--queue", "0"},
                                             {"--cors-origin", "a\r\nX-Evil: y"},
                                             {"--cors-origin", "a\x7f"},
                                             {"--config", "/dev/zero"},
                                             {"--config", "/tmp"},
                                             {"--max-body-bytes", "-1"},
                                             {"--log-level", "loud"}}) {
    const auto command = parse(arguments);
    ASSERT_FALSE(command) << arguments[0];
    EXPECT_EQ(command.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(command.error().message.find(arguments[0]), std::string::npos) << command.error().message;
  }
  EXPECT_FALSE(parse({"--no-such-flag"}));
  EXPECT_FALSE(parse({"stray"}));
}

TEST(Options, KnowTheChat) {
  const auto command = parse({"chat", "--url", "http://h:1", "--thinking", "off", "--temperature", "0"});
  ASSERT_TRUE(command) << command.error().message;
  const ChatOptions& options = std::get<ChatOptions>(*command);
  EXPECT_EQ(options.url, "http://h:1");
  EXPECT_EQ(options.thinking, "off");
  EXPECT_EQ(options.temperature, 0.0);
  EXPECT_TRUE(std::holds_alternative<PrintAndExit>(*parse({"--help"})));
  EXPECT_TRUE(std::holds_alternative<PrintAndExit>(*parse({"chat", "--help"})));
  EXPECT_TRUE(std::holds_alternative<PrintAndExit>(*parse({"--version"})));
}

TEST(Options, PrintNoKeys) {
  Options options;
  options.api_keys = {"secret"};
  EXPECT_EQ(options_json(options).find("secret"), std::string::npos);
  EXPECT_NE(options_json(options).find("\"api_key\":1"), std::string::npos);
}

TEST(Options, PrintWhatTheEngineGets) {
  Options options;
  options.kv_cache_mib = 1;
  options.prefix_cache_mib = 2;
  options.batch_rows = 3;
  options.prefill_chunk = 4;
  options.canary_rate = 0.25;
  options.state_dir = "/kept";
  const auto json = nlohmann::json::parse(options_json(options));
  EXPECT_EQ(json["tree_nodes"], 0);
  EXPECT_EQ(json["kv_cache_mib"], 1);
  EXPECT_EQ(json["prefix_cache_mib"], 2);
  EXPECT_EQ(json["batch_rows"], 3);
  EXPECT_EQ(json["prefill_chunk"], 4);
  EXPECT_EQ(json["canary_rate"], 0.25);
  EXPECT_EQ(json["state_dir"], "/kept");
}

}  // namespace
}  // namespace ft::server
