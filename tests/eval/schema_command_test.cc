#include "eval/schema_command.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "encoding/ordered_json.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

using encoding::Json;

std::vector<Json> read_lines(const std::string& path) {
  std::vector<Json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(*Json::parse(line));
  return lines;
}

class SchemaCommand : public testing::Test {
 protected:
  int run(const std::string& tokenizer, const std::string& cases) {
    std::ofstream(dir_.path() + "/cases.jsonl") << cases;
    return run_schema(tokenizer, dir_.path() + "/cases.jsonl", dir_.path() + "/out.jsonl", out_, err_);
  }
  std::vector<Json> results() const { return read_lines(dir_.path() + "/out.jsonl"); }

  TempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(SchemaCommand, AnswersEveryTestOfEveryCase) {
  const char* cases =
      R"({"id": "one", "schema": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}},
          "required": ["name"]}, "tests": [{"valid": true, "data": {"name": "Vilnius \u00e9"}},
          {"valid": true, "data": {"name": "a\"b", "more": [1.5, null]}}, {"valid": false, "data": {"name": 1}},
          {"valid": false, "data": {"name": "longer than it may be"}}, {"valid": false, "data": {}}]})";
  std::string line;
  for (const char* c = cases; *c != 0; ++c)
    if (*c != '\n') line += *c;
  line +=
      "\n"
      R"({"id": 2, "schema": {"properties": {"x": {"uniqueItems": true}}}, "tests": [{"valid": true, "data": 1}]})";
  ASSERT_EQ(run(FT_MODELS "/v4-nano", line + "\n"), 0) << err_.str();
  const std::vector<Json> lines = results();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].get("id"), Json("one"));
  EXPECT_EQ(lines[0].get("compiled"), Json(true));
  EXPECT_TRUE(lines[0].get("error").is_null());
  EXPECT_EQ(
      lines[0].get("tests").dump(),
      R"([{"accepted": true}, {"accepted": true}, {"accepted": false}, {"accepted": false}, {"accepted": false}])");
  EXPECT_GT(*lines[0].get("masks").to_int64(), 20);
  for (const char* part : {"p50", "p99", "max"})
    EXPECT_TRUE(lines[0].get("mask_us").get(part).is_number()) << part;
  EXPECT_TRUE(lines[0].get("compile_us").is_number());
  EXPECT_EQ(lines[1].get("id"), Json(2));
  EXPECT_EQ(lines[1].get("compiled"), Json(false));
  EXPECT_EQ(lines[1].get("error").get("keyword"), Json("uniqueItems"));
  EXPECT_NE(lines[1].get("error").get("message").as_string().find("#/properties/x"), std::string::npos);
  EXPECT_EQ(lines[1].get("tests").dump(), R"([{"accepted": false}])");
  EXPECT_NE(out_.str().find("2 schemas: 1 compiled, 1 with every test right"), std::string::npos)
      << out_.str();
  EXPECT_NE(out_.str().find("refused for uniqueItems: 1"), std::string::npos) << out_.str();
}

TEST_F(SchemaCommand, NamesWhatCannotBeRead) {
  EXPECT_EQ(run(FT_MODELS "/v4-nano", "{\"id\": 1}\n"), 2);
  EXPECT_NE(err_.str().find("cases.jsonl:1:"), std::string::npos) << err_.str();
  EXPECT_EQ(run(dir_.path() + "/none.model", ""), 2);
  EXPECT_EQ(run_schema(FT_MODELS "/v4-nano", dir_.path() + "/none", dir_.path() + "/out", out_, err_), 2);
  EXPECT_EQ(
      run_schema(FT_MODELS "/v4-nano", dir_.path() + "/cases.jsonl", dir_.path() + "/no/out", out_, err_), 2);
}

// 813 public schemas with their instances and the official vocabulary.
TEST(FullSchemaSample, AcceptsTheValidInstancesOfMostSchemasAndNoInvalidOne) {
  const std::string cases = FT_DEEPSEEK_DATA "/../datasets/jsonschema/maskbench_sample.jsonl";
  const std::string tokenizer = FT_DEEPSEEK_DATA "/tokenizer/tokenizer.json";
  if (!std::filesystem::exists(cases) || !std::filesystem::exists(tokenizer))
    GTEST_SKIP() << "SKIPPED: no sample of schemas or no official tokenizer beside " FT_DEEPSEEK_DATA;
  const TempDir dir;
  std::ostringstream out;
  std::ostringstream err;
  ASSERT_EQ(run_schema(tokenizer, cases, dir.path() + "/out.jsonl", out, err), 0) << err.str();
  const std::vector<Json> inputs = read_lines(cases);
  const std::vector<Json> results = read_lines(dir.path() + "/out.jsonl");
  ASSERT_EQ(inputs.size(), results.size());
  size_t passed = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& tests = inputs[i].get("tests").as_array();
    const auto& answers = results[i].get("tests").as_array();
    ASSERT_EQ(tests.size(), answers.size());
    bool all = results[i].get("compiled").as_bool();
    for (size_t t = 0; t < tests.size(); ++t) {
      const bool valid = tests[t].get("valid").truthy();
      const bool accepted = answers[t].get("accepted").truthy();
      EXPECT_FALSE(accepted && !valid) << inputs[i].get("id").dump() << " test " << t;
      all = all && accepted == valid;
    }
    passed += all;
  }
  EXPECT_GE(static_cast<double>(passed) / static_cast<double>(inputs.size()), 0.95);
}

}  // namespace
}  // namespace ft::eval
