#include "server/options.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

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
  EXPECT_EQ(options.max_body_bytes, 8 << 20);
  EXPECT_FALSE(options.check);
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
  std::ofstream(file) << "port = 9000\nqueue = 7\n";
  const auto command = parse({"--config", file.c_str(), "--port", "9001"});
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(std::get<Options>(*command).port, 9001);
  EXPECT_EQ(std::get<Options>(*command).queue, 7);
  std::ofstream(file) << "prot = 9000\n";
  EXPECT_FALSE(parse({"--config", file.c_str()}));
  std::filesystem::remove(file);
  EXPECT_FALSE(parse({"--config", "/nowhere/x.toml"}));
}

TEST(Options, RefuseNamesTheFlag) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"--port", "70000"},
                                             {"--port", "x"},
                                             {"--backend", "tpu"},
                                             {"--mode", "fast"},
                                             {"--drafter", "eagle"},
                                             {"--tree-nodes", "0"},
                                             {"--queue", "0"},
                                             {"--max-body-bytes", "0"},
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
  EXPECT_NE(options_json(options).find("\"api_keys\":1"), std::string::npos);
}

}  // namespace
}  // namespace ft::server
