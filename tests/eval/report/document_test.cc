// The forms of a document, and the sections that results become.
#include "eval/report/document.h"

#include <gtest/gtest.h>

#include <regex>

#include "eval/load/load_figures.h"
#include "eval/report/html.h"
#include "eval/report/svg.h"
#include "eval/report/text_forms.h"
#include "eval/report/write.h"
#include "eval/simulate/studies.h"

namespace ft::eval {
namespace {

Document example() {
  Document document;
  document.title = "A & B";
  document.blocks.push_back(Heading{"First"});
  document.blocks.push_back(Paragraph{"Is 1 < 2?"});
  Table table{"Sizes, in mm", {"name", "size"}, {}};
  table.rows.push_back({words("a|b, c"), number("{:.1f}", 1.25)});
  document.blocks.push_back(std::move(table));
  LinePlot plot{.title = "Growth", .x_label = "time, s", .y_label = "size, mm"};
  plot.series = {{"one", {{1, 2, 1.5, 2.5}, {2, 4, 4, 4}}, true}};
  plot.reference_y = 1.0;
  plot.reference_label = "begin";
  document.blocks.push_back(std::move(plot));
  document.blocks.push_back(BarPlot{"Parts", "ms", {"x", "y"}, {{"bar", {1.0, 2.0}}}});
  document.blocks.push_back(HeatMap{"Heat", "depth", "kind", {"1", "2"}, {{"row", {0.9, std::nullopt}}}});
  document.blocks.push_back(Details{"Command", "a --b \"c\""});
  return document;
}

// The names of elements that are opened and not closed, or closed out of turn.
std::string unbalanced(const std::string& html) {
  static const std::regex tag(R"(<(/?)([a-zA-Z0-9]+)((?:"[^"]*"|[^>"])*?)(/?)>)");
  std::vector<std::string> open;
  const std::string body = std::regex_replace(html, std::regex(R"(<(script|style)>[^]*?</\1>)"), "");
  for (auto match = std::sregex_iterator(body.begin(), body.end(), tag); match != std::sregex_iterator();
       ++match) {
    const std::string name = (*match)[2];
    if ((*match)[4].length() > 0 || name == "meta" || name == "link" || name == "doctype") continue;
    if ((*match)[1].length() == 0) {
      open.push_back(name);
    } else if (open.empty() || open.back() != name) {
      return "</" + name + ">";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

TEST(ReportDocument, IsOneHtmlFileThatNeedsNothingElse) {
  const std::string page = html(example());
  EXPECT_EQ(unbalanced(page), "");
  EXPECT_NE(page.find("<title>A &amp; B</title>"), std::string::npos);
  EXPECT_NE(page.find("Is 1 &lt; 2?"), std::string::npos);
  EXPECT_NE(page.find("data-v=\"1.25\""), std::string::npos);
  for (const char* outside : {"http://", "https://", "src=", "url(", "@import"})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(ReportDocument, DrawsEveryPointWithItsInterval) {
  const std::string page = html(example());
  const auto count = [&](const std::string& part) {
    size_t found = 0;
    for (size_t at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<circle"), 3u);           // two points, and the legend's
  EXPECT_EQ(count("class=\"bar s0\""), 1u);  // one of them has an interval
  EXPECT_EQ(count("<rect"), 2u + 2u + 1u);   // bars, their legend, one cell of the map
  EXPECT_NE(page.find("time, s"), std::string::npos);
  EXPECT_NE(page.find("size, mm"), std::string::npos);
}

TEST(ReportDocument, HasTheSameTablesInMarkdownAndCsv) {
  const std::string text = markdown(example());
  EXPECT_NE(text.find("| a\\|b, c | 1.2 |"), std::string::npos) << text;
  EXPECT_EQ(csv(example()), "table,row,column,value\n\"Sizes, in mm\",\"a|b, c\",size,1.25\n");
}

std::string page_of(const ResultFile& result) {
  const auto document = report_document({result}, {"mine"});
  EXPECT_TRUE(document) << document.error().message;
  const std::string page = document ? html(*document) : "";
  EXPECT_EQ(unbalanced(page), "");
  return page;
}

TEST(ReportDocument, HasASectionForEveryKind) {
  std::vector<LoadRequest> requests(2);
  requests[0] = {0.0, "", {0.1, 0.2}, 0.3, 4, 5, std::nullopt};
  requests[1] = {1.0, "timeout", {}, 4.0, 0, 0, std::nullopt};
  ResultFile load;
  load.kind = "load";
  for (const double rate : {1.0, 2.0}) {
    Json level = {{"name", "poisson"}, {"rate", rate}, {"concurrency", 0}};
    level.update(load_figures_json(requests, {}));
    load.figures["levels"].push_back(std::move(level));
  }
  EXPECT_NE(page_of(load).find("1 timeout"), std::string::npos);
  const auto study = run_study({"trees", 2, 1}, [](const std::string&, double) {});
  ASSERT_TRUE(study);
  EXPECT_NE(page_of(*study).find("experts not priced"), std::string::npos);
  ResultFile speedup;
  speedup.kind = "speedup";
  speedup.configuration["drafter"] = "auto";
  for (const int concurrency : {1, 8})
    speedup.figures["levels"].push_back(
        {{"concurrency", concurrency},
         {"ratio", {{"value", 1.2}, {"low", 1.1}, {"high", 1.3}}},
         {"ratio_median", 1.2},
         {"with", {{"mean_accepted_length", 3.0}, {"rows_per_step", 5.0}, {"drafting_share", 0.9}}}});
  EXPECT_NE(page_of(speedup).find("as fast as without"), std::string::npos);
  ResultFile quality;
  quality.kind = "quality";
  quality.figures["checks"] = {
      {"same_tokens",
       Json::array({{{"setting", "auto/6/8"}, {"completions", 3}, {"tokens", 90}, {"differ", 0}}})}};
  EXPECT_NE(page_of(quality).find("auto/6/8"), std::string::npos);
}

TEST(ReportDocument, NamesAResultThatLacksAFigure) {
  ResultFile result;
  result.kind = "load";
  result.figures["levels"] = Json::array({Json::object()});
  const auto document = report_document({result}, {"mine"});
  ASSERT_FALSE(document);
  EXPECT_TRUE(document.error().message.starts_with("mine: ")) << document.error().message;
}

}  // namespace
}  // namespace ft::eval
