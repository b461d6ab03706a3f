// Schemas that are made to take time or memory.
#include <chrono>
#include <functional>
#include <random>
#include <string>

#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

std::string repeated(int count, const std::function<std::string(int)>& part) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i > 0 ? "," : "") + part(i);
  return text;
}

std::string nested(int depth, const std::string& before, const std::string& core, const std::string& after) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += before;
  text += core;
  for (int i = 0; i < depth; ++i) text += after;
  return text;
}

// A few milliseconds where nothing else runs; the limit is for slow machines and sanitizers, and what it
// guards against takes minutes.
void expect_quick(const std::string& name, const std::string& schema, bool refused) {
  const auto begin = std::chrono::steady_clock::now();
  const auto grammar = compile_schema(schema);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << name;
  EXPECT_EQ(!grammar.has_value(), refused) << name;
}

TEST(HostileSchema, TakesBoundedTime) {
  expect_quick("deep", nested(5000, R"({"items":)", "{}", "}"), true);
  expect_quick("deep, but allowed", nested(45, R"({"items":)", "{}", "}"), false);
  expect_quick(
      "chain of references",
      R"({"$ref":"#/$defs/a0","$defs":{)" +
          repeated(3000, [](int i) { return fmt::format(R"("a{}":{{"$ref":"#/$defs/a{}"}})", i, i + 1); }) +
          R"(,"a3000":{}}})",
      true);
  expect_quick("wide",
               R"({"type":"object","properties":{)" +
                   repeated(10000,
                            [](int i) {
                              return fmt::format(R"("name{}":{{"type":"string","maxLength":{}}})", i, i + 1);
                            }) +
                   "}}",
               false);
  expect_quick("product of anyOf",
               R"({"allOf":[)" +
                   repeated(40,
                            [](int i) {
                              return fmt::format(
                                  R"({{"anyOf":[{{"required":["a{0}"]}},{{"required":["b{0}"]}}]}})", i);
                            }) +
                   "]}",
               true);
  expect_quick("nested anyOf",
               nested(20, R"({"anyOf":[{"type":"object","properties":{"a":)", "{}",
                      R"(}},{"type":"object","required":["b"]}]})"),
               false);
  expect_quick("oneOf of many",
               R"({"oneOf":[)" +
                   repeated(300, [](int i) { return fmt::format(R"({{"required":["a{}"]}})", i); }) + "]}",
               true);
  expect_quick("not of many",
               R"({"not":{"oneOf":[)" +
                   repeated(200, [](int i) { return fmt::format(R"({{"required":["a{}"]}})", i); }) + "]}}",
               true);
  expect_quick("dependencies of all on all",
               R"({"dependentRequired":{)" +
                   repeated(30, [](int i) { return fmt::format(R"("a{}":["a{}"])", i, (i + 7) % 30); }) +
                   "}}",
               true);
  expect_quick(
      "patterns that multiply",
      R"({"type":"object","patternProperties":{)" +
          repeated(20, [](int i) { return fmt::format(R"("a.{{{}}}b":{{"minimum":{}}})", i + 10, i); }) +
          "}}",
      true);
  expect_quick("catastrophic patterns",
               R"({"properties":{)" +
                   repeated(100,
                            [](int i) {
                              return fmt::format(R"("p{}":{{"pattern":"(a|b)*a(a|b){{{}}}"}})", i,
                                                 13 + i % 3);
                            }) +
                   "}}",
               true);
  expect_quick("lengths with a pattern",
               R"({"type":"string","pattern":"^(ab|c)*$","minLength":1,"maxLength":999999999})", true);
  expect_quick("recursion to nothing", R"({"type":"array","items":{"$ref":"#"},"minItems":1})", true);
  expect_quick("two that need each other", R"({"$ref":"#/$defs/a","$defs":{
      "a":{"type":"object","properties":{"x":{"$ref":"#/$defs/b"}},"required":["x"]},
      "b":{"type":"array","items":{"$ref":"#/$defs/a"},"minItems":1}}})",
               true);
  expect_quick("large enum",
               R"({"enum":[)" + repeated(20000, [](int i) { return fmt::format("\"v{}\"", i); }) + "]}",
               true);
  expect_quick(
      "enum", R"({"enum":[)" + repeated(1000, [](int i) { return fmt::format("\"v{}\"", i); }) + "]}", false);
  expect_quick("products of properties",
               R"({"allOf":[)" +
                   repeated(100,
                            [](int i) {
                              return R"({"properties":{)" +
                                     repeated(100,
                                              [&](int k) {
                                                return fmt::format(R"("p{}":{{"minimum":{}}})", k,
                                                                   i * 100 + k);
                                              }) +
                                     "}}";
                            }) +
                   "]}",
               true);
}

TEST(HostileSchema, AmbiguityKeepsStatesSmall) {
  // Every level doubles the readings of what is open.
  const auto start = start_of(nested(20, R"({"anyOf":[{"type":"array","items":)", R"({"type":"integer"})",
                                     R"(,"maxItems":3},{"type":"array","minItems":0}]})"));
  ASSERT_TRUE(start.has_value());
  std::string text;
  for (int i = 0; i < 20; ++i) text += '[';
  const auto inner = start->after(text);
  ASSERT_TRUE(inner.has_value());
  EXPECT_TRUE(accepts(*start, text + "1" + std::string(20, ']')));
}

TEST(HostileSchema, MasksTakeBoundedTime) {
  // As many tokens as a large model has, of random letters; and alternatives that all may go on with all of them.
  std::mt19937 random(4);
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  while (tokens.size() < 100'000) {
    std::string& token = tokens.emplace_back();
    for (int i = 2 + static_cast<int>(random() % 6); i > 0; --i)
      token += static_cast<char>('a' + random() % 26);
  }
  const std::vector<std::string_view> views(tokens.begin(), tokens.end());
  const auto vocabulary = std::make_shared<const Vocabulary>(views, std::vector<int32_t>{0});
  const auto grammar = compile_schema(
      R"({"anyOf":[)" +
      repeated(60,
               [](int i) { return fmt::format(R"({{"type":"string","pattern":"^(...){{{}}}$"}})", i + 1); }) +
      "]}");
  ASSERT_TRUE(grammar.has_value());
  GrammarState state = *GrammarState(*grammar, vocabulary).after("\"");
  std::vector<uint32_t> mask(vocabulary->mask_words());
  const auto begin = std::chrono::steady_clock::now();
  for (int step = 0; step < 10; ++step) {
    state.fill_mask(mask);
    EXPECT_NE(mask['a' / 32] | mask['a' / 32 + 1], 0u);
    state = *state.after("a");
  }
  // 60 configurations at 400,000 nodes would be 24 million steps a mask.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

}  // namespace
}  // namespace ft::grammar
