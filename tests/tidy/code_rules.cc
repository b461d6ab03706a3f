#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string_view>

#include "tests/tidy/rules.h"

namespace ft::tidy {
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
    {"eval", {"core", "draft", "verify", "scheduler", "encoding", "server", "eval"}},
    {"tests", {"core", "draft", "verify", "scheduler", "encoding", "server", "eval", "tests"}},
};

// Longest file. Most have fewer than 400 lines; one that comes near this holds two ideas.
constexpr int kLinesMax = 640;

// Longest line with a comment, in characters. Comments are wrapped at 110 by hand; the formatter leaves them alone.
constexpr int kColumnsMax = 120;

std::vector<Violation> includes_follow_the_arrows(const Source& source) {
  std::vector<Violation> found;
  if (!kMayInclude.contains(source.folder())) return {{0, "this folder holds no code"}};
  const std::set<std::string>& allowed = kMayInclude.at(source.folder());
  // From the text: the code has its quotes emptied. An #include inside a comment would have to begin the
  // line.
  static const std::regex include(R"re((?:^|\n)[ \t]*#[ \t]*include[ \t]*"([^"\n]+)")re");
  for (auto match = std::sregex_iterator(source.text.begin(), source.text.end(), include);
       match != std::sregex_iterator(); ++match) {
    const std::string included = (*match)[1];
    const std::string folder = included.substr(0, included.find('/'));
    const int line = line_of(source.text, static_cast<size_t>(match->position(1)));
    if (kMayInclude.contains(folder) && included != folder) {
      if (!allowed.contains(folder))
        found.push_back({line, source.folder() + " may not include " + included});
    } else if (included.find('/') == std::string::npos ||
               fs::exists((fs::path(FT_SOURCE) / source.path).parent_path() / included)) {
      // Quotes are for our files and for libraries that ask for them ("hwy/highway.h").
      found.push_back({line, "includes run from the root, not from the file: " + included});
    }
  }
  return found;
}

std::vector<Violation> headers_are_included_once(const Source& source) {
  if (!source.is_header()) return {};
  // Highway compiles its -inl.h files once per instruction set, behind a guard that toggles.
  const char* guard = source.path.ends_with("-inl.h") ? "defined(HWY_TARGET_TOGGLE)" : "#pragma once\n";
  if (source.code.find(guard) != std::string::npos) return {};
  return {{0, std::string("lacks ") + guard}};
}

std::vector<Violation> tests_are_named_as_sentences(const Source& source) {
  std::vector<Violation> found;
  static const std::regex test(R"(\bTEST(?:_F|_P)?\s*\(\s*(\w+)\s*,\s*(\w+)\s*\))");
  static const std::regex suite_name("(?:[A-Z][a-z0-9]*)+");
  static const std::regex sentence("(?:[A-Z][a-z0-9]*){2,}");
  for (auto match = std::sregex_iterator(source.code.begin(), source.code.end(), test);
       match != std::sregex_iterator(); ++match)
    if (!std::regex_match(match->str(1), suite_name) || !std::regex_match(match->str(2), sentence))
      found.push_back({line_of(source.code, static_cast<size_t>(match->position())),
                       "a test is TEST(SuiteName, SentenceInCamelCase): " + match->str()});
  return found;
}

// gcc 12 may leave the state of a coroutine uninitialised that awaits in a condition: it then resumes
// anywhere.
std::vector<Violation> conditions_do_not_await(const Source& source) {
  std::vector<Violation> found;
  static const std::regex condition(R"(\b(?:if|while|for|switch)\s*\()");
  for (auto match = std::sregex_iterator(source.code.begin(), source.code.end(), condition);
       match != std::sregex_iterator(); ++match) {
    const auto open = static_cast<size_t>(match->position() + match->length());
    size_t close = open;
    for (int depth = 1; close < source.code.size() && depth > 0; ++close)
      depth += source.code[close] == '(' ? 1 : source.code[close] == ')' ? -1 : 0;
    if (source.code.substr(open, close - open).find("co_await") != std::string::npos)
      found.push_back({line_of(source.code, open), "await before the condition, into a variable"});
  }
  return found;
}

std::vector<Violation> comments_fit(const Source& source) {
  std::vector<Violation> found;
  for (size_t begin = 0; begin < source.comments.size();) {
    const size_t end = std::min(source.comments.find('\n', begin), source.comments.size());
    const std::string_view line = std::string_view(source.text).substr(begin, end - begin);
    const bool has_comment = source.comments.find_first_not_of(' ', begin) < end;
    // Characters, not bytes: all but the bytes that continue one in UTF-8.
    const auto columns = std::ranges::count_if(line, [](char c) { return (c & 0xC0) != 0x80; });
    if (has_comment && columns > kColumnsMax)
      found.push_back({line_of(source.text, begin),
                       std::to_string(columns) + " columns, at most " + std::to_string(kColumnsMax)});
    begin = end + 1;
  }
  return found;
}

std::vector<Violation> skipped_tests_say_why(const Source& source) {
  std::vector<Violation> found;
  static const std::regex reason(R"(^GTEST_SKIP\(\)\s*<<\s*"SKIPPED: )");
  for (size_t at = source.code.find("GTEST_SKIP"); at != std::string::npos;
       at = source.code.find("GTEST_SKIP", at + 1))
    if (!std::regex_search(source.text.substr(at, 100), reason))
      found.push_back({line_of(source.code, at), "a test that skips itself prints \"SKIPPED: \" and why"});
  return found;
}

}  // namespace

std::vector<Violation> violations_of(const std::string& text, const char* pattern, const std::string& why) {
  std::vector<Violation> found;
  const std::regex regex(pattern);
  for (auto match = std::sregex_iterator(text.begin(), text.end(), regex); match != std::sregex_iterator();
       ++match)
    found.push_back({line_of(text, static_cast<size_t>(match->position())), why + ": " + match->str()});
  return found;
}

std::vector<Rule> code_rules() {
  return {
      {"NoEnvironmentVariables",
       [](const Source& source) -> std::vector<Violation> {
         // What a launcher of several processes tells each of them, it tells there.
         if (source.path == "core/ranks/launch.cc") return {};
         return violations_of(source.code, R"(\b(?:secure_getenv|getenv|setenv|putenv|environ)\b)",
                              "settings are options, not environment variables");
       },
       {{"core/a.cc", "auto a = std::getenv(\"A\");\n"}, {"eval/main.cc", "extern char** environ;\n"}},
       {{"core/a.cc", "// no getenv here\nint environment;\n"},
        {"core/ranks/launch.cc", "auto a = std::getenv(\"RANK\");\n"}}},

      {"OnlyProgramsWriteToStandardOutput",
       [](const Source& source) -> std::vector<Violation> {
         if (source.name() == "main.cc") return {};
         return violations_of(
             source.code,
             R"(\bw?cout\b|\bv?w?printf\s*\(|\bw?puts\s*\(|\bputw?char\s*\(|\bstdout\b|)"
             R"(\bSTDOUT_FILENO\b|\bwrite\s*\(\s*1\s*,|)"
             // fmt prints where its first argument says, and on standard output where that is a format.
             R"(\bv?print(?:ln)?\s*\(\s*(?:"|FMT_|fmt::runtime))",
             "only a main.cc writes to standard output");
       },
       {{"server/a.cc", "std::cout << 1;\n"},
        {"server/a.cc", "if (a) std::printf(\"a\");\n"},
        {"server/a.cc", "x=(printf(\"a\"), 1);\n"},
        {"server/a.cc", "fprintf(stdout, \"a\");\n"},
        {"server/a.cc", "std::fwrite(a, 1, 2, stdout);\n"},
        {"server/a.cc", "std::puts(a);\n"},
        {"server/a.cc", "putchar('a');\n"},
        {"server/a.cc", "fmt::print(\"{}\", a);\n"},
        {"server/a.cc", "fmt::print(\n    \"{}\", a);\n"},
        {"server/a.cc", "write(STDOUT_FILENO, a, 1);\n"},
        {"server/a.cc", "write(1, a, 1);\n"}},
       {{"eval/main.cc", "std::cout << 1;\n"},
        {"server/a.cc", "fmt::print(stderr, \"a\");\n"},
        {"server/a.cc", "fmt::print(out, \"a\");\n"},
        {"server/a.cc", "std::snprintf(a, 1, \"printf(\");\nstd::fputs(a, stderr);\n"},
        {"server/a.cc", "inputs(1);\nstd::fprintf(stderr, \"a\");\n"}}},

      {"NoUsingNamespaceInHeaders",
       [](const Source& source) -> std::vector<Violation> {
         if (!source.is_header()) return {};
         return violations_of(source.code, R"(\busing\s+namespace\b)",
                              "a header opens no namespace for its readers");
       },
       {{"core/a.h", "using namespace std;\n"}, {"core/a.cuh", "using  namespace std;\n"}},
       {{"core/a.cc", "using namespace std;\n"}, {"core/a.h", "using std::swap;\n"}}},

      {"HeadersAreIncludedOnce",
       headers_are_included_once,
       {{"core/a.h", "// #pragma once\nint a();\n"}, {"core/a-inl.h", "#pragma once\n"}},
       {{"core/a.h", "// For a.\n#pragma once\n"}, {"core/a.cc", "int a();\n"}}},

      {"HeadersBeginWithWhatTheyAreFor",
       [](const Source& source) -> std::vector<Violation> {
         if (!source.is_header() || source.text.starts_with("// ")) return {};
         return {{1, "a header's first line says what it is for"}};
       },
       {{"core/a.h", "#pragma once\n// For a.\n"}},
       {{"core/a.h", "// For a.\n#pragma once\n"}, {"core/a.cc", "int a();\n"}}},

      {"IncludesFollowTheArrows",
       includes_follow_the_arrows,
       {{"draft/a.cc", "#include \"verify/sampler.h\"\n"},
        {"core/a.cc", "#include <vector>\n# include \"draft/drafter.h\"\n"},
        {"encoding/a.cc", "#include \"core/check.h\"\n"},
        {"core/a.cc", "#include \"check.h\"\n"},
        {"core/a.cc", "#include \"cpu/lanes-inl.h\"\n"},
        {"tools/a.cc", "int a;\n"}},
       {{"scheduler/a.cc", "#include \"draft/drafter.h\"\n#include \"hwy/highway.h\"\n"},
        {"draft/a.cc", "// #include \"verify/sampler.h\"\n"}}},

      {"FilesAreOfReadableLength",
       [](const Source& source) -> std::vector<Violation> {
         const auto lines = std::ranges::count(source.text, '\n');
         if (lines <= kLinesMax) return {};
         return {{0, std::to_string(lines) + " lines; the longest has " + std::to_string(kLinesMax)}};
       },
       {{"core/a.cc", std::string(kLinesMax + 1, '\n')}},
       {{"core/a.cc", std::string(kLinesMax, '\n')}}},

      {"ConditionsDoNotAwait",
       conditions_do_not_await,
       {{"server/a.h", "if (co_await a()) co_return;\n"},
        {"server/a.h", "while (a(1) &&\n !co_await b()) {}\n"},
        {"server/a.h", "if (auto [e, n] = co_await a(); e) co_return;\n"}},
       {{"server/a.h", "if (a()) co_await b();\n"},
        {"server/a.h", "// if (co_await a())\nconst bool x = co_await a();\n"}}},

      {"CommentsFit",
       comments_fit,
       {{"core/a.cc", "// " + std::string(kColumnsMax - 2, 'a') + "\n"},
        {"core/a.cc", "int a;\nint " + std::string(kColumnsMax, 'a') + ";  // b\n"}},
       {{"core/a.cc", "// " + std::string(kColumnsMax - 3, 'a') + "\n"},
        {"core/a.cc", "// " + std::string(kColumnsMax - 4, 'a') + "\u00e9\n"},
        {"core/a.cc", "auto a = \"" + std::string(kColumnsMax, 'a') + "\";\n"}}},

      {"SkippedTestsSayWhy",
       skipped_tests_say_why,
       {{"tests/core/a_test.cc", "GTEST_SKIP();\n"}, {"tests/core/a_test.cc", "GTEST_SKIP() << \"no a\";\n"}},
       {{"tests/core/a_test.cc", "// GTEST_SKIP();\nGTEST_SKIP()\n    << \"SKIPPED: no a\";\n"}}},

      {"TestsAreNamedAsSentences",
       tests_are_named_as_sentences,
       {{"tests/core/a_test.cc", "TEST(Suite, is_a_sentence) {}\n"},
        {"tests/core/a_test.cc", "TEST_F(Suite, Word)\n{}\n"},
        {"tests/core/a_test.cc", "TEST_P(a_suite, IsASentence) {}\n"},
        {"tests/core/a_test.cc", "TEST(Suite,\n     Is_ASentence) {}\n"}},
       {{"tests/core/a_test.cc", "TEST(Suite, Is1At0) {}\nTEST_P(ASuite, IsASentence) {}\n// TEST(a, b)\n"}}},
  };
}

}  // namespace ft::tidy
