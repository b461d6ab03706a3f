// Every command line of the documents is one that the programs take: the flags exist, and their values are in
// range.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "eval/command_line.h"
#include "server/options.h"
#include "tests/documents/examples.h"

namespace ft::documents {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The commands of every Markdown file that is not about third-party data.
std::vector<Command> all_commands() {
  std::vector<Command> all;
  std::vector<fs::path> documents = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "models/README.md"};
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(FT_SOURCE) / "docs"))
    if (entry.path().extension() == ".md") documents.push_back(fs::relative(entry.path(), FT_SOURCE));
  for (const fs::path& document : documents) {
    const auto found = commands(document.string(), read_file(fs::path(FT_SOURCE) / document));
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

// "" or why foretoken-server does not take the words.
std::string refused_by_server(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"foretoken-server"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  const auto parsed = server::parse_command_line(static_cast<int>(argv.size()), argv.data());
  return parsed ? "" : parsed.error().message;
}

// "" or why foretoken-eval does not take the words.
std::string refused_by_eval(std::vector<std::string> words) {
  CLI::App app;
  app.require_subcommand(1);
  eval::Run run;
  std::ostringstream out;
  eval::add_model_commands(app, run);
  eval::add_experiment_commands(app, run);
  eval::add_study_commands(app, run, {});
  eval::add_serving_commands(app, run, {});
  eval::add_bench_commands(app, run, {});
  eval::add_text_commands(app, run, out, out);
  // A command that is only named, without flags, has to exist.
  if (std::ranges::none_of(words, [](const std::string& word) { return word.starts_with("-"); })) {
    const CLI::App* command = &app;
    try {
      for (const std::string& word : words) command = command->get_subcommand(word);
    } catch (const CLI::OptionNotFound& error) {
      return error.what();
    }
    return "";
  }
  std::ranges::reverse(words);  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
  } catch (const CLI::CallForAllHelp&) {
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

// "" or why `./foretoken test` or `build` does not take the words.
std::string refused_by_ctest(const std::vector<std::string>& words) {
  const std::set<std::string> flags = {"--quick", "--full", "--gpu", "--clients", "--page", "--print-bin"};
  for (size_t i = 0; i < words.size(); ++i) {
    if (flags.contains(words[i])) continue;
    if (words[i] != "--preset" && words[i] != "-R") return "unknown flag " + words[i];
    if (i + 1 == words.size()) return words[i] + " needs a value";
    const std::string& value = words[++i];
    if (words[i - 1] == "--preset") {
      if (read_file(fs::path(FT_SOURCE) / "CMakePresets.json").find("\"name\": \"" + value + "\"") ==
          std::string::npos)
        return "no preset " + value;
      continue;
    }
    bool found = false;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(FT_SOURCE) / "tests"))
      if (entry.path().extension() == ".cc") {
        std::istringstream lines(read_file(entry.path()));
        for (std::string line; std::getline(lines, line);)
          found = found || (line.starts_with("TEST") && line.find(value) != std::string::npos);
      }
    if (!found) return "no test has " + value + " in its name";
  }
  return "";
}

// "" or why `./foretoken fuzz` does not take the words.
std::string refused_by_fuzz(const std::vector<std::string>& words) {
  const std::string presets = read_file(fs::path(FT_SOURCE) / "CMakePresets.json");
  for (size_t i = 0; i < words.size(); ++i)
    if (words[i] == "--seconds") {
      if (++i == words.size() || words[i].find_first_not_of("0123456789") != std::string::npos)
        return "--seconds needs a number";
    } else if (presets.find("\"fuzz_" + words[i] + "\"") == std::string::npos) {
      return "no fuzz target " + words[i];
    }
  return "";
}

std::string refused(const std::vector<std::string>& words) {
  if (words.empty()) return "no command";
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  if (words[0] == "serve") return refused_by_server(rest);
  if (words[0] == "chat") return refused_by_server(words);
  if (words[0] == "eval") return refused_by_eval(rest);
  if (words[0] == "test" || words[0] == "build") return refused_by_ctest(rest);
  if (words[0] == "fuzz") return refused_by_fuzz(rest);
  return words[0] == "help" ? "" : "no command " + words[0];
}

TEST(Commands, OfTheDocumentsAreTaken) {
  const std::vector<Command> all = all_commands();
  EXPECT_GE(all.size(), 20u);
  for (const Command& command : all)
    EXPECT_EQ(refused(command.words), "") << command.where << ": ./foretoken " << joined(command.words);
}

TEST(Commands, ThatCannotWorkAreRefused) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"serves"},
                                                {"serve", "--modle", "x"},
                                                {"serve", "--tree-nodes", "1000"},
                                                {"chat", "--no-such-flag"},
                                                {"eval", "no-such"},
                                                {"eval", "generate", "--out", "x"},
                                                {"eval", "bench", "decode", "..."},
                                                {"test", "--preset", "no_such"},
                                                {"test", "-R", "NoSuchTest"},
                                                {"test", "--fast"},
                                                {"fuzz", "no_such"}})
    EXPECT_NE(refused(words), "") << joined(words);
}

TEST(Commands, AreReadFromBlocksAndCode) {
  const auto found =
      commands("A.md",
               "Use `./foretoken test --quick` or `./foretoken chat`.\n```sh\n./foretoken serve  # note\n"
               "./foretoken eval a 'b c' \\\n  d\ncurl x\n```\n./foretoken outside\n");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(joined(found[0].words), "test --quick");
  EXPECT_EQ(joined(found[1].words), "chat");
  EXPECT_EQ(found[2].where, "A.md:3");
  EXPECT_EQ(found[2].words, std::vector<std::string>{"serve"});
  EXPECT_EQ(found[3].words, (std::vector<std::string>{"eval", "a", "b c", "d"}));
}

}  // namespace
}  // namespace ft::documents
