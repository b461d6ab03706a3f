// Schemas at the edges of their keywords, with instances: tests/data/schemas/edges.jsonl, in the form that
// `foretoken-eval schema` reads. Two members more say where a grammar differs from a validator: `refused` is the
// keyword of a schema that is refused, `narrow` marks a valid instance that is not written so.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "encoding/ordered_json.h"
#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

using encoding::Json;

TEST(SchemaEdges, AreEnforcedOrRefusedByName) {
  std::ifstream file(FT_TEST_DATA "/schemas/edges.jsonl");
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json one = *Json::parse(line);
    const std::string& id = one.get("id").as_string();
    const auto grammar = compile_schema(one.get("schema").dump());
    if (one.contains("refused")) {
      ASSERT_FALSE(grammar.has_value()) << id;
      EXPECT_EQ(grammar.error().keyword, one.get("refused").as_string())
          << id << ": " << grammar.error().message;
      continue;
    }
    ASSERT_TRUE(grammar.has_value()) << id << ": " << grammar.error().message;
    const GrammarState start(*grammar, small_vocabulary());
    for (const Json& test : one.get("tests").as_array())
      EXPECT_EQ(accepts(start, test.get("data").dump()),
                test.get("valid").as_bool() && !test.contains("narrow"))
          << id << ": " << test.get("data").dump();
  }
  EXPECT_EQ(cases, 137);
}

}  // namespace
}  // namespace ft::grammar
