// Replies of the nano model that are bound to schemas: valid, and the same whatever the tree and the load.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/generate_command.h"
#include "tests/support/temp_dir.h"
#include "verify/grammar/grammar_state.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::eval {
namespace {

constexpr const char* kSchemas[] = {
    R"({"type": "object", "properties": {"city": {"type": "string", "maxLength": 12},
        "people": {"type": "integer", "minimum": 0, "maximum": 99999}}, "required": ["city", "people"],
        "additionalProperties": false})",
    R"({"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 2, "maxItems": 5, "uniqueItems": true})",
    R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "point"}, "x": {"type": "integer", "maximum": 99,
        "minimum": -99}}, "required": ["kind", "x"], "additionalProperties": false},
        {"type": "object", "properties": {"kind": {"const": "name"}, "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,8}$"}},
        "required": ["kind", "name"], "additionalProperties": false}]})",
    R"({"type": "string", "format": "date"})"};

class FullStructuredOutput : public testing::TestWithParam<const char*> {};

TEST_P(FullStructuredOutput, IsValidAndIndependentOfTreeAndLoad) {
  const TempDir dir;
  std::ofstream(dir.path() + "/schema.json") << GetParam();
  std::ofstream prompts(dir.path() + "/prompts.jsonl");
  for (int i = 0; i < 12; ++i)
    prompts << nlohmann::json{{"messages",
                               {{{"role", "user"},
                                 {"content", "Number " + std::to_string(i) + ", please."}}}},
                              {"thinking", i % 4 == 3}}
            << "\n";
  prompts.close();
  const auto grammar = grammar::compile_schema(GetParam());
  ASSERT_TRUE(grammar.has_value());
  std::vector<std::string> expected;
  for (const int32_t tree_nodes : {1, 6})
    for (const int32_t concurrency : {1, 8}) {
      GenerateOptions options;
      options.session.model = FT_MODELS "/v4-nano-dspark";
      options.session.backend = "cpu";
      options.session.cpu.threads = 2;
      options.prompts = dir.path() + "/prompts.jsonl";
      options.out = dir.path() + "/out.jsonl";
      options.schema = dir.path() + "/schema.json";
      options.temperature = 1.0;
      options.max_tokens = 300;
      options.tree_nodes = tree_nodes;
      options.concurrency = concurrency;
      GenerateSummary summary;
      const auto done = run_generate(options, &summary);
      ASSERT_TRUE(done.has_value()) << done.error().message;
      std::vector<std::string> texts;
      std::ifstream out(options.out);
      for (std::string line; std::getline(out, line);) {
        const auto reply = nlohmann::json::parse(line);
        std::string text = reply["text"];
        texts.push_back(text);
        if (reply["finish_reason"] != "stop") continue;  // reasoning took all tokens
        if (const size_t end = text.find("</think>"); end != std::string::npos) text = text.substr(end + 8);
        const auto vocabulary = std::make_shared<const grammar::Vocabulary>(std::vector<std::string_view>(1),
                                                                            std::vector<int32_t>{0});
        const auto state = grammar::GrammarState(*grammar, vocabulary).after(text);
        EXPECT_TRUE(state && state->complete()) << text;
      }
      ASSERT_EQ(texts.size(), 12u);
      if (expected.empty()) expected = texts;
      EXPECT_EQ(texts, expected) << tree_nodes << " rows, " << concurrency << " at a time";
      EXPECT_EQ(summary.totals.accepted > 0, tree_nodes > 1);
    }
}
INSTANTIATE_TEST_SUITE_P(Schemas, FullStructuredOutput, testing::ValuesIn(kSchemas));

// The grammar alone cuts the steps: prompt lookup finds little in so short a prompt.
TEST(StructuredOutput, AGrammarDrafts) {
  const TempDir dir;
  std::ofstream(dir.path() + "/schema.json")
      << R"({"type": "object", "properties": {"name of the city": {"const": "Rome"}, "its population": {"type": "integer",
          "minimum": 1, "maximum": 99}}, "required": ["name of the city", "its population"], "additionalProperties": false})";
  std::ofstream(dir.path() + "/prompts.jsonl")
      << R"({"messages": [{"role": "user", "content": "Rome?"}], "thinking": false})"
      << "\n";
  std::string expected;
  int64_t plain_steps = 0;
  for (const int32_t tree_nodes : {1, 16}) {
    GenerateOptions options;
    options.session.model = FT_MODELS "/v4-nano";
    options.session.backend = "cpu";
    options.prompts = dir.path() + "/prompts.jsonl";
    options.out = dir.path() + "/out.jsonl";
    options.schema = dir.path() + "/schema.json";
    options.drafter = "ngram";
    options.temperature = 1.0;
    options.tree_nodes = tree_nodes;
    options.canary_rate = 1.0;
    GenerateSummary summary;
    const auto done = run_generate(options, &summary);
    ASSERT_TRUE(done.has_value()) << done.error().message;
    std::string line;
    std::getline(std::ifstream(options.out), line);
    const auto reply = nlohmann::json::parse(line);
    EXPECT_EQ(reply["finish_reason"], "stop");
    if (tree_nodes == 1) {
      expected = reply["text"];
      plain_steps = reply["steps"];
      EXPECT_EQ(reply["forced"], 0);
      continue;
    }
    EXPECT_EQ(reply["text"], expected);
    EXPECT_LT(reply["steps"].get<int64_t>(), plain_steps / 2) << expected;
    EXPECT_GT(reply["forced"].get<int64_t>(), plain_steps / 2);
    EXPECT_GE(reply["accepted"], reply["forced"]);
  }
}

TEST(StructuredOutput, RefusesASchemaByKeywordAndPath) {
  const TempDir dir;
  std::ofstream(dir.path() + "/schema.json") << R"({"properties": {"a": {"unevaluatedItems": false}}})";
  std::ofstream(dir.path() + "/prompts.jsonl") << R"({"prompt": "Hello"})"
                                               << "\n";
  GenerateOptions options;
  options.session.model = FT_MODELS "/v4-nano";
  options.session.backend = "cpu";
  options.prompts = dir.path() + "/prompts.jsonl";
  options.out = dir.path() + "/out.jsonl";
  options.schema = dir.path() + "/schema.json";
  const auto done = run_generate(options, nullptr);
  ASSERT_FALSE(done.has_value());
  EXPECT_NE(done.error().message.find("#/properties/a/unevaluatedItems"), std::string::npos)
      << done.error().message;
}

}  // namespace
}  // namespace ft::eval
