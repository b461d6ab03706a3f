// The program's flags and files: what cannot work ends with code 2 and a message that names it, never otherwise.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/program.h"

namespace ft::eval {
namespace {

using ft::testing::Program;

const std::string kNano = FT_MODELS "/v4-nano-dspark";

class CommandLine : public ::testing::Test {
 protected:
  CommandLine()
      : prompts_(directory_.write("prompts", "{\"tokens\":[1,2,3]}\n")),
        tokens_(directory_.write("tokens", "[[1,2,3]]")),
        out_(directory_.file("out")),
        folder_(directory_.file("folder")) {}

  static void expect_refused(const std::vector<std::string>& arguments, const std::string& fragment) {
    Program program(FT_EVAL_PROGRAM, arguments);
    std::string line;
    for (const std::string& argument : arguments) line += " " + argument;
    EXPECT_EQ(program.wait(), 2) << line << ": " << program.errors();
    EXPECT_NE(program.errors().find(fragment), std::string::npos) << line << ": " << program.errors();
  }

  // Each command with all that it requires.
  std::vector<std::vector<std::string>> commands() const {
    return {{"logits", "--model", kNano, "--tokens", tokens_, "--out", out_},
            {"draft", "--model", kNano, "--tokens", tokens_, "--out", out_},
            {"generate", "--model", kNano, "--prompts", prompts_, "--out", out_},
            {"accept", "--model", kNano, "--prompts", prompts_, "--out", folder_},
            {"quality", "--model", kNano, "--prompts", prompts_, "--out", folder_},
            {"load", "--url", "http://127.0.0.1:9", "--rates", "1", "--prompts", prompts_, "--out", folder_},
            {"simulate", "--preset", "budget", "--out", folder_},
            {"identity", "--model", kNano, "--prompts", prompts_},
            {"bench", "decode", "--model", kNano, "--prompts", prompts_},
            {"bench", "speculation", "--model", kNano, "--prompts", prompts_},
            {"bench", "prefix", "--model", kNano, "--prompts", prompts_},
            {"bench", "scheduler"},
            {"bench", "kernels"},
            {"bench", "engine"},
            {"make-random", "--config", kNano + "/config.json", "--out", out_},
            {"encode", "--cases", tokens_},
            {"parse", "--cases", tokens_},
            {"tokenize", "--tokenizer", kNano + "/tokenizer.model", "--cases", tokens_},
            {"detokenize", "--tokenizer", kNano + "/tokenizer.model", "--cases", tokens_}};
  }

  // The flags of a command that take a number, as its help lists them.
  static std::vector<std::string> numeric_flags(std::vector<std::string> command) {
    std::vector<std::string> arguments = {command[0]};
    if (command[0] == "bench") arguments.push_back(command[1]);
    arguments.push_back("--help");
    Program help(FT_EVAL_PROGRAM, arguments);
    EXPECT_EQ(help.wait(), 0);
    std::vector<std::string> flags;
    std::istringstream lines(help.output());
    for (std::string line; std::getline(lines, line);) {
      const size_t at = line.find("--");
      if (at == std::string::npos) continue;
      const std::string rest = line.substr(at);
      const std::string flag = rest.substr(0, rest.find_first_of(" ,="));
      const std::string type = rest.substr(flag.size(), 12);
      if (type.find("INT") != std::string::npos || type.find("FLOAT") != std::string::npos)
        flags.push_back(flag);
    }
    return flags;
  }

  TempDir directory_;
  std::string prompts_;
  std::string tokens_;
  std::string out_;
  std::string folder_;
};

TEST_F(CommandLine, EveryNumberHasARange) {
  int checked = 0;
  for (const std::vector<std::string>& command : commands()) {
    for (const std::string& flag : numeric_flags(command)) {
      for (const char* value : {"-1", "nan", "99999999999999999999999"}) {
        std::vector<std::string> arguments = command;
        arguments.push_back(flag + "=" + value);
        expect_refused(arguments, flag);
        ++checked;
      }
      if (flag == "--seed") continue;  // any 64 bits
      std::vector<std::string> arguments = command;
      arguments.push_back(flag + "=2147483647");
      expect_refused(arguments, flag);
    }
  }
  EXPECT_GT(checked, 100);
}

TEST_F(CommandLine, EmptyPromptsAreNamed) {
  const std::string no_tokens = directory_.write("a", "{\"tokens\":[1]}\n\n{\"tokens\":[]}\n");
  const std::string no_text = directory_.write("b", "{\"prompt\":\"\"}\n");
  const std::string outside = directory_.write("c", "{\"tokens\":[2048]}\n");
  const std::string no_list = directory_.write("d", "[[1],[]]");
  for (const char* command : {"generate", "accept", "identity"}) {
    std::vector<std::string> arguments = {command, "--model", kNano, "--threads", "1", "--prompts"};
    const auto expect = [&](const std::string& file, const std::string& fragment) {
      std::vector<std::string> with = arguments;
      with.push_back(file);
      if (std::string(command) == "generate") with.insert(with.end(), {"--out", out_});
      if (std::string(command) == "accept") with.insert(with.end(), {"--out", folder_});
      expect_refused(with, fragment);
    };
    expect(no_tokens, no_tokens + ":3: tokens: is empty");
    expect(no_text, no_text + ":1: the prompt is empty");
    expect(outside, outside + ":1: token 2048 is outside the vocabulary of 2048");
  }
  expect_refused({"logits", "--model", kNano, "--tokens", no_list, "--out", out_},
                 no_list + ": list 1: is empty");
}

TEST_F(CommandLine, WhatIsNoFileIsNamed) {
  const std::string pipe = directory_.file("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::vector<std::string>& command : commands()) {
    for (size_t i = 0; i + 1 < command.size(); ++i) {
      const bool is_input = command[i] == "--prompts" || command[i] == "--cases" ||
                            command[i] == "--config" ||
                            (command[i] == "--tokens" && command[0] != "identity");
      if (!is_input) continue;
      for (const auto& [path, kind] :
           {std::pair(pipe, "is a FIFO"), std::pair(directory_.path(), "is a folder"),
            std::pair(std::string("/dev/zero"), "is a device")}) {
        std::vector<std::string> arguments = command;
        arguments[i + 1] = path;
        if (command[0] != "make-random" && command[0] != "load" && command[1] != "kernels" &&
            command[0].find("code") == std::string::npos && command[0] != "parse" &&
            command[0] != "tokenize" && command[0] != "detokenize") {
          arguments.insert(arguments.end(), {"--threads", "1"});
        }
        expect_refused(arguments, kind);
      }
    }
  }
}

TEST_F(CommandLine, MemoryThatIsNotThereIsNamed) {
  expect_refused({"generate", "--model", kNano, "--threads", "1", "--backend", "cpu", "--prompts", prompts_,
                  "--out", out_, "--prefix-cache-mib", "16777216"},
                 "cached prefixes 16384.0 GiB");
}

}  // namespace
}  // namespace ft::eval
