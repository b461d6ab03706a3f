// Rules of the tree that no compiler checks: what may include what, what only programs may do, and how files
// look.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

// The arrows of ARCHITECTURE.md: a folder's files include from these folders only.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"core", {"core"}},
    {"encoding", {"encoding"}},
    {"draft", {"core", "draft"}},
    {"verify", {"core", "verify"}},
    {"scheduler", {"core", "draft", "verify", "scheduler"}},
    {"server", {"core", "draft", "verify", "scheduler", "encoding", "server"}},
    {"eval", {"core", "draft", "verify", "scheduler", "encoding", "eval"}},
    {"tests", {"core", "draft", "verify", "scheduler", "encoding", "server", "eval", "tests"}},
};

// Longest file; a longer one holds two ideas.
constexpr int kLinesMax = 1000;

struct Source {
  std::string path;  // from the root, "core/model.h"
  std::string text;
  std::string code;  // text with comments and string literals blanked out, line breaks kept

  std::string folder() const { return path.substr(0, path.find('/')); }
  std::string name() const { return path.substr(path.rfind('/') + 1); }
  bool is_header() const { return path.ends_with(".h") || path.ends_with(".cuh"); }
};

// Blanks comments, strings and characters. Raw strings end at the first )delimiter".
std::string code_of(std::string_view text) {
  std::string code(text);
  const auto blank = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end && i < code.size(); ++i)
      if (code[i] != '\n') code[i] = ' ';
  };
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i + 1;
    if (text.substr(i, 2) == "//") {
      end = std::min(text.find('\n', i), text.size());
      blank(i, end);
    } else if (text.substr(i, 2) == "/*") {
      end = std::min(text.find("*/", i + 2), text.size() - 2) + 2;
      blank(i, end);
    } else if (text.substr(i, 2) == "R\"") {
      const size_t open = text.find('(', i);
      const std::string close = ")" + std::string(text.substr(i + 2, open - i - 2)) + "\"";
      end = std::min(text.find(close, open), text.size() - close.size()) + close.size();
      blank(i, end);
    } else if (text[i] == '"' ||
               (text[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      while (end < text.size() && text[end] != text[i] && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
      blank(i + 1, end);
      ++end;
    }
    i = end;
  }
  return code;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Every C++ and CUDA file of the tree.
const std::vector<Source>& sources() {
  static const std::vector<Source> all = [] {
    std::vector<Source> found;
    for (const auto& [folder, may_include] : kMayInclude)
      for (const auto& entry : fs::recursive_directory_iterator(fs::path(FT_SOURCE) / folder)) {
        const std::set<std::string> kinds = {".h", ".cc", ".cu", ".cuh"};
        if (!entry.is_regular_file() || !kinds.contains(entry.path().extension().string())) continue;
        Source source;
        source.path = fs::relative(entry.path(), FT_SOURCE).string();
        source.text = read_file(entry.path());
        source.code = code_of(source.text);
        found.push_back(std::move(source));
      }
    return found;
  }();
  return all;
}

// Calls `report(line number, match)` for every line of `text` that the pattern is found in.
void each_match(const std::string& text, const std::string& pattern,
                const std::function<void(int, const std::smatch&)>& report) {
  const std::regex regex(pattern);
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (std::regex_search(line, match, regex)) report(number, match);
  }
}

// Fails for every line of code that matches in a file that `applies`.
void forbid(const std::string& pattern, const std::string& why,
            const std::function<bool(const Source&)>& applies) {
  for (const Source& source : sources())
    if (applies(source))
      each_match(source.code, pattern, [&](int line, const std::smatch&) {
        ADD_FAILURE() << source.path << ":" << line << ": " << why;
      });
}

bool everywhere(const Source&) {
  return true;
}

}  // namespace

TEST(Tidy, ReadsTheTree) {
  // The other tests say nothing about files that are not found.
  for (const char* path : {"core/model.h", "core/cpu/lanes-inl.h", "tests/tidy/tidy_test.cc"})
    EXPECT_TRUE(std::ranges::any_of(sources(), [&](const Source& source) { return source.path == path; }))
        << path;
}

TEST(Tidy, BlanksCommentsAndLiterals) {
  EXPECT_EQ(code_of("a // b\nc"), "a     \nc");
  EXPECT_EQ(code_of("a /* b\n */ c"), "a     \n    c");
  EXPECT_EQ(code_of("f(\"x\\\"y\", 'z', 1'000)"), "f(\"    \", ' ', 1'000)");
  EXPECT_EQ(code_of("R\"(a\"b)\" + c"), "         + c");
}

TEST(Tidy, NoEnvironmentVariables) {
  forbid(R"(\b(secure_)?getenv\b)", "settings are options, not environment variables", everywhere);
}

TEST(Tidy, OnlyProgramsWriteToStandardOutput) {
  forbid(R"(\bstd::cout\b|\bputs\(|[^fn]\bprintf\()", "only a main.cc writes to standard output",
         [](const Source& source) { return source.folder() != "tests" && source.name() != "main.cc"; });
}

TEST(Tidy, NoUsingNamespaceInHeaders) {
  forbid(R"(\busing\s+namespace\b)", "a header opens no namespace for its readers", &Source::is_header);
}

TEST(Tidy, NothingIsLeftUnfinished) {
  const std::string pattern = std::string("\\b(TO") + "DO|FIX" + "ME)\\b";  // apart, so as not to find itself
  for (const Source& source : sources())
    each_match(source.text, pattern, [&](int line, const std::smatch&) {
      ADD_FAILURE() << source.path << ":" << line << ": finish it, or write it down as an issue";
    });
}

TEST(Tidy, HeadersAreIncludedOnce) {
  for (const Source& source : sources()) {
    if (!source.is_header()) continue;
    // Highway compiles its -inl.h files once per instruction set, behind a guard that toggles.
    const char* guard = source.path.ends_with("-inl.h") ? "defined(HWY_TARGET_TOGGLE)" : "#pragma once\n";
    EXPECT_NE(source.code.find(guard), std::string::npos) << source.path << " lacks " << guard;
  }
}

TEST(Tidy, HeadersBeginWithWhatTheyAreFor) {
  for (const Source& source : sources())
    EXPECT_TRUE(!source.is_header() || source.text.starts_with("// ")) << source.path;
}

TEST(Tidy, IncludesFollowTheArrows) {
  for (const Source& source : sources()) {
    const std::set<std::string>& allowed = kMayInclude.at(source.folder());
    // From the text: the code has its quotes emptied. An #include inside a comment would have to begin the
    // line.
    each_match(source.text, R"re(^\s*#\s*include\s*"([^"]+)")re", [&](int line, const std::smatch& match) {
      const std::string included = match[1];
      const std::string folder = included.substr(0, included.find('/'));
      if (!kMayInclude.contains(folder)) {  // a library that is included with quotes ("hwy/highway.h")
        EXPECT_FALSE(fs::exists((fs::path(FT_SOURCE) / source.path).parent_path() / included))
            << source.path << ":" << line << ": includes run from the root: " << included;
        return;
      }
      EXPECT_TRUE(allowed.contains(folder))
          << source.path << ":" << line << ": " << source.folder() << " may not include " << included;
    });
  }
}

TEST(Tidy, FilesAreOfReadableLength) {
  for (const Source& source : sources())
    EXPECT_LE(std::count(source.text.begin(), source.text.end(), '\n'), kLinesMax) << source.path;
}

TEST(Tidy, FilesEndWithALineBreak) {
  for (const Source& source : sources())
    EXPECT_TRUE(source.text.ends_with('\n') && !source.text.ends_with("\n\n")) << source.path;
}

TEST(Tidy, FormattedByClangFormat14) {
  const auto run = [](const std::string& command) {
    std::string output;
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen((command + " 2>&1").c_str(), "r"), pclose);
    std::array<char, 4096> block;
    while (const size_t count = std::fread(block.data(), 1, block.size(), pipe.get()))
      output.append(block.data(), count);
    return output;
  };
  const std::string version = run("clang-format-14 --version");
  if (version.find("version 14.") == std::string::npos)
    GTEST_SKIP() << "SKIPPED: clang-format-14 is not installed (other versions format differently)";
  std::string command = "cd '" FT_SOURCE "' && clang-format-14 --dry-run --Werror -ferror-limit=1";
  for (const Source& source : sources()) command += " '" + source.path + "'";
  EXPECT_EQ(run(command), "");
}
