// The rules of the tree that no compiler checks, on every file of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/tidy/citations.h"
#include "tests/tidy/rules.h"
#include "tests/tidy/source_tree.h"

namespace ft::tidy {
namespace {

struct NamedRule {
  Rule rule;
  bool code_only = false;
};

void PrintTo(const NamedRule& named, std::ostream* out) {
  *out << named.rule.name;
}

std::vector<NamedRule> all_rules() {
  std::vector<NamedRule> all;
  for (Rule& rule : code_rules()) all.push_back({std::move(rule), true});
  for (Rule& rule : text_rules()) all.push_back({std::move(rule), false});
  return all;
}

std::string listed(const std::string& path, const std::vector<Violation>& violations) {
  std::string list;
  for (const Violation& violation : violations)
    list += path + (violation.line > 0 ? ":" + std::to_string(violation.line) : "") + ": " + violation.what +
            "\n";
  return list;
}

class Tidy : public testing::TestWithParam<NamedRule> {};

TEST_P(Tidy, RuleIsKept) {
  std::string broken;
  for (const Source& source : source_tree())
    if (source.is_cpp() || !GetParam().code_only)
      broken += listed(source.path, GetParam().rule.check(source));
  EXPECT_TRUE(broken.empty()) << broken;
}

TEST_P(Tidy, RuleCanFail) {
  const Rule& rule = GetParam().rule;
  ASSERT_FALSE(rule.breaks_it.empty());
  ASSERT_FALSE(rule.keeps_it.empty());
  for (const Source& source : rule.breaks_it) EXPECT_FALSE(rule.check(source).empty()) << source.text;
  for (const Source& source : rule.keeps_it)
    EXPECT_EQ(listed(source.path, rule.check(source)), "") << source.text;
}

INSTANTIATE_TEST_SUITE_P(Rules, Tidy, testing::ValuesIn(all_rules()),
                         [](const auto& test) { return test.param.rule.name; });

TEST(SourceTree, HasAllKindsOfFiles) {
  // Rules say nothing about files that are not found.
  for (const char* path :
       {"core/model.h", "core/cpu/lanes-inl.h", "core/cuda/linear.cu", "tests/tidy/tidy_test.cc", "README.md",
        "docs/spec/model.md", "tests/CMakeLists.txt", "foretoken", ".ci/run",
        "encoding/make_unicode_table.py", "tests/script/foretoken_test.sh"})
    EXPECT_TRUE(std::ranges::any_of(source_tree(), [&](const Source& source) { return source.path == path; }))
        << path;
  for (const Source& source : source_tree()) EXPECT_FALSE(source.path.starts_with("build/")) << source.path;
}

TEST(SourceTree, TellsCodeFromCommentsAndLiterals) {
  EXPECT_EQ(code_of("a // b\nc"), "a     \nc");
  EXPECT_EQ(code_of("a /* b\n */ c"), "a     \n    c");
  EXPECT_EQ(code_of("f(\"x\\\"y\", 'z', 1'000)"), "f(\"    \", ' ', 1'000)");
  EXPECT_EQ(code_of("R\"(a\"b)\" + c"), "         + c");
  EXPECT_EQ(comments_of("a // b\nc"), "     b\n ");
  EXPECT_EQ(comments_of("\"// a\" /* b */"), "          b */");
  EXPECT_EQ(Source("a.sh", "a # b\nc\n").comments, "    b\n \n");
}

TEST(SourceTree, FindsPathsByPattern) {
  EXPECT_TRUE(in_repository("core/model.h"));
  EXPECT_TRUE(in_repository("core/mod*.h"));
  EXPECT_TRUE(in_repository("core/{model,check}.h"));
  EXPECT_TRUE(in_repository("core/"));
  EXPECT_FALSE(in_repository("core/model.h/"));
  EXPECT_FALSE(in_repository("core/{model,checks}.h"));
  EXPECT_FALSE(in_repository("core/mod*.hh"));
}

TEST(Citations, AreReadWithAllTheirParts) {
  const auto parts = [](const char* text) {
    std::string all;
    for (const Citation& citation : citations(text)) {
      all += citation.before + citation.book;
      for (const std::string& part : citation.parts) all += " " + part;
      all += ";";
    }
    return all;
  };
  EXPECT_EQ(parts("(model.md 3.1, 3.10, 3.11)"), "model.md 3.1 3.10 3.11;");
  EXPECT_EQ(parts("dspark.md sections 1, 2 and 6.3b. 4 more"), "dspark.md 1 2 6.3b;");
  EXPECT_EQ(parts("model.md 3.2.1-4 model.md 3.3 to 3.8"), "model.md 3.2.1 3.2.4;model.md 3.3 3.8;");
  EXPECT_EQ(parts("encoding.md sections 7, 9 and appendices A, B."), "encoding.md 7 9 A B;");
  EXPECT_EQ(parts("docs/spec/model.md\n   section 3"), "docs/spec/model.md 3;");
  EXPECT_EQ(parts("dspark.md 6.1, \"s2\"; tokenizer.md, 2 of"), "dspark.md 6.1;tokenizer.md;");
}

TEST(Format, IsThatOfClangFormat14) {
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
  for (const Source& source : source_tree())
    if (source.is_cpp()) command += " '" + source.path + "'";
  EXPECT_EQ(run(command), "");
}

}  // namespace
}  // namespace ft::tidy
