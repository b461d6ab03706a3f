#include "verify/grammar/regex.h"

#include <gtest/gtest.h>

#include <chrono>
#include <regex>
#include <string>
#include <vector>

namespace ft::grammar {
namespace {

bool matches(const std::string& pattern, const std::string& text, RegexMatch match = RegexMatch::kSearch) {
  const Result<Automaton> automaton = compile_regex(pattern, match);
  EXPECT_TRUE(automaton.has_value()) << pattern;
  return automaton && automaton->label_of(code_points(text)) != 0;
}

TEST(Regex, AgreesWithTheStandardLibrary) {
  const std::vector<std::string> patterns = {
      "",          "a",          "^a",        "a$",       "^a$",          "^(a|b)*$",   "^a*b+$",
      "a{2}",      "^a{1,2}b?$", "^[^a]b",    "(a|^b)a",  "(a$|b)",       "^(ab|ba)+$", "[ab]{3,}",
      "^\\w+$",    "\\d",        "^\\S*\\s$", "a.b",      "^(?:a|b){2}$", "^a|b$",      "(a*)*b",
      "^(a?){3}$", "^$",         "[a-]",      "^(?!ab)a", "^(?=a)[ab]*$", "x*",         "^a+?b$",
      "(a|aa)+$",  "[^ab]$"};
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size() && texts[i].size() < 4; ++i)
    for (const char c : {'a', 'b', '1', ' ', '-'}) texts.push_back(texts[i] + c);
  for (const std::string& pattern : patterns) {
    const std::regex expected(pattern, std::regex::ECMAScript);
    const Result<Automaton> automaton = compile_regex(pattern, RegexMatch::kSearch);
    ASSERT_TRUE(automaton.has_value()) << pattern << ": " << automaton.error().message;
    for (const std::string& text : texts)
      ASSERT_EQ(automaton->label_of(code_points(text)) != 0, std::regex_search(text, expected))
          << pattern << " on \"" << text << "\"";
  }
}

TEST(Regex, ReadsCodePointsAndEscapes) {
  EXPECT_TRUE(matches("^.$", "\xC3\xA9"));
  EXPECT_TRUE(matches("^\\u00e9{2}$", "\xC3\xA9\xC3\xA9"));
  EXPECT_TRUE(matches("^\\u{1F600}$", "\xF0\x9F\x98\x80"));
  EXPECT_TRUE(matches("^\\uD83D\\uDE00$", "\xF0\x9F\x98\x80"));
  EXPECT_TRUE(matches("^[\\u4e00-\\u9fff]+$", "\xE4\xB8\xAD\xE6\x96\x87"));
  EXPECT_FALSE(matches("^.$", "\n"));
  EXPECT_FALSE(matches("^.$", "\xE2\x80\xA8"));  // a line separator
  EXPECT_TRUE(matches("^\\s$", "\xC2\xA0"));
  EXPECT_FALSE(matches("^\\S$", "\xC2\xA0"));
  EXPECT_FALSE(matches("^\\d$", "\xD9\xA1"));  // an Arabic digit
  EXPECT_TRUE(matches("^[\\w-]+$", "a-b"));
  EXPECT_TRUE(matches("^\\x41\\cJ\\t\\0$", std::string("A\n\t\0", 4)));
  EXPECT_TRUE(matches("x{,3}", "x{,3}"));  // braces that bound nothing stand for themselves
  EXPECT_FALSE(matches("a", "xax", RegexMatch::kWhole));
}

TEST(Regex, RefusesByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"(a)\\1", "back reference"},   {"\\bword", "word boundary"},
      {"(?<=a)b", "lookbehind"},      {"a(?=b)", "lookahead"},
      {"\\p{L}", "Unicode property"}, {"(a", "without end"},
      {"[a", "without end"},          {"a)", "unmatched"},
      {"*a", "nothing to repeat"},    {"a{3,2}", "wrong way round"},
      {"[z-a]", "wrong way round"},   {"\\", "backslash"}};
  for (const auto& [pattern, what] : cases) {
    const Result<Automaton> automaton = compile_regex(pattern, RegexMatch::kSearch);
    ASSERT_FALSE(automaton.has_value()) << pattern;
    EXPECT_NE(automaton.error().message.find(what), std::string::npos)
        << pattern << ": " << automaton.error().message;
  }
}

TEST(Regex, BoundsHostilePatterns) {
  const std::string deep(300, '(');
  const std::vector<std::string> hostile = {
      "(a|b)*a(a|b){20}", "(((a{1,100}){1,100}){1,100}){1,100}", "^(.{0,10000}){3}x",
      "((a?){500}){500}", deep + "a" + std::string(300, ')'),    "[^" + std::string(20000, 'x') + "]"};
  for (const std::string& pattern : hostile) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(compile_regex(pattern, RegexMatch::kSearch).has_value()) << pattern.substr(0, 50);
    // Milliseconds where nothing else runs; without the bounds, minutes or all memory.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << pattern.substr(0, 50);
  }
  EXPECT_TRUE(matches("^(?:\\S+\\s+){0,199}\\S+$", "a b c"));  // large, but no larger than it must be
  EXPECT_TRUE(matches("^(x+x+)+y$", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy"));
}

TEST(Automaton, OperationsAreThoseOfTheSets) {
  const Automaton a = *compile_regex("^[a-f]*$", RegexMatch::kSearch);
  const Automaton b = *compile_regex("c", RegexMatch::kSearch);
  const auto has = [](const std::optional<Automaton>& automaton, const char* text) {
    return automaton->label_of(code_points(text)) != 0;
  };
  for (const char* text : {"", "a", "c", "abc", "x", "xc", "fff"}) {
    const bool in_a = a.label_of(code_points(text)) != 0;
    const bool in_b = b.label_of(code_points(text)) != 0;
    EXPECT_EQ(has(Automaton::intersection(a, b), text), in_a && in_b) << text;
    EXPECT_EQ(has(Automaton::unite(a, b), text), in_a || in_b) << text;
    EXPECT_EQ(has(Automaton::difference(a, b), text), in_a && !in_b) << text;
    EXPECT_EQ(
        a.relabelled([](uint32_t label) -> uint32_t { return label == 0; }).label_of(code_points(text)) != 0,
        !in_a)
        << text;
  }
}

TEST(Automaton, MeasuresWhatFollows) {
  const Automaton some = *compile_regex("^ab{2,4}[xyz]$", RegexMatch::kSearch);
  EXPECT_EQ(some.shortest(some.start()), 4u);
  EXPECT_EQ(some.longest(some.start()), 6u);
  EXPECT_EQ(some.continuations(some.start()), 9u);
  const Automaton endless = *compile_regex("^ab*c", RegexMatch::kSearch);
  EXPECT_EQ(endless.longest(endless.start()), Automaton::kUnbounded);
  EXPECT_FALSE(endless.universal(endless.start()));
  EXPECT_TRUE(endless.universal(endless.next(endless.next(endless.start(), endless.partition().class_of('a')),
                                             endless.partition().class_of('c'))));
}

}  // namespace
}  // namespace ft::grammar
