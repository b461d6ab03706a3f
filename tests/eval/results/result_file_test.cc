#include "eval/results/result_file.h"

#include <gtest/gtest.h>

namespace ft::eval {
namespace {

ResultFile example() {
  ResultFile result;
  result.kind = "simulate";
  result.command = {"foretoken-eval", "simulate", "--preset", "budget"};
  result.started = "2026-01-31T12:00:00Z";
  result.seeds = {1, UINT64_MAX};
  result.configuration = {{"preset", "budget"}};
  result.rows.push_back({{"arm", "a"}, {"point", 1}});
  result.figures["arms"] = Json::array();
  return result;
}

std::string changed(const std::string& from, const std::string& to) {
  std::string text = example().json();
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string message(const std::string& text) {
  const auto result = parse_result(text, "a.json");
  return result ? "" : result.error().message;
}

TEST(ResultFile, ComesBackAsItWasWritten) {
  const auto read = parse_result(example().json(), "a.json");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->json(), example().json());
  EXPECT_EQ(read->seeds.back(), UINT64_MAX);
}

TEST(ResultFile, RefusesWhatIsNoResultByName) {
  EXPECT_EQ(message("[]"), "a.json: not a JSON object");
  EXPECT_EQ(message("{}"), "a.json: schema is null, expected \"foretoken-result\"");
  EXPECT_EQ(message(changed("\"version\": 1", "\"version\": 0")),
            "a.json: version 0 of the result schema; this program reads version 1: repeat the command that "
            "made it");
  EXPECT_EQ(message(changed("\"simulate\",\n", "\"thoughts\",\n")),
            "a.json: kind \"thoughts\" is none of accept, load, quality, simulate, speedup");
  EXPECT_EQ(message(changed("\"point\"", "\"paint\"")), "a.json: rows[0] has no point");
  EXPECT_EQ(message(changed("\"arms\"", "\"legs\"")), "a.json: figures has no arms");
  EXPECT_EQ(message(changed("\"hardware\": {}", "\"hardware\": 3")), "a.json: hardware is not an object");
  EXPECT_EQ(message(changed("18446744073709551615", "-1")), "a.json: seeds is not a list of numbers");
}

}  // namespace
}  // namespace ft::eval
