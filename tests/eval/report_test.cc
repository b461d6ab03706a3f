// One report, two forms.
#include "eval/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

Report example() {
  Report report;
  report.fact("model", "nano");
  report.say("two arms:");
  report.table("arms",
               {{"arm", Report::words("/arm"), true},
                {"ratio", Report::numbers("{:.2f}", {"/ratio"})},
                {"percent", Report::numbers("{:.0f}%", {"/ratio"}, 100.0)},
                {"rounds", Report::median_of("{:.1f}", "/rounds")}},
               {{{"arm", "plain"}, {"ratio", 1.0}, {"rounds", {1, 2}}},
                {{"arm", "a tree"}, {"ratio", 10.25}, {"rounds", {3}}}});
  return report;
}

TEST(Report, AlignsColumnsForPeople) {
  EXPECT_EQ(example().text(),
            "two arms:\n"
            "arm     ratio  percent  rounds\n"
            "plain    1.00     100%     2.0\n"
            "a tree  10.25    1025%     3.0\n");
}

TEST(Report, KeepsEveryFactForPrograms) {
  const auto json = nlohmann::json::parse(example().json());
  EXPECT_EQ(json["model"], "nano");
  ASSERT_EQ(json["arms"].size(), 2u);
  EXPECT_EQ(json["arms"][1]["ratio"], 10.25);
  EXPECT_EQ(json["arms"][0]["rounds"], (std::vector<int>{1, 2}));
}

TEST(Report, IsWrittenInBothForms) {
  const TempDir dir;
  const std::string shown = dir.file("shown");
  std::FILE* out = std::fopen(shown.c_str(), "w");
  ASSERT_TRUE(example().write(out, dir.file("report.json")));
  std::fclose(out);
  EXPECT_EQ(file_bytes(shown), example().text());
  EXPECT_EQ(file_bytes(dir.file("report.json")), example().json());
  const auto refused = example().write(stderr, dir.file("none/report.json"));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("none/report.json"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace ft::eval
