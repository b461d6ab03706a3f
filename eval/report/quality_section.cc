#include "eval/report/sections.h"

namespace ft::eval {

void add_quality_section(const ResultFile& result, Document& document) {
  document.blocks.push_back(
      Paragraph{"A setting of speed must change no token: every line of the first table compares completions "
                "with those of plain "
                "decoding, one request at a time. Answers count as right if the reply contains them."});
  const Json& checks = result.figures.at("checks");
  if (checks.contains("same_tokens")) {
    Table table;
    table.title = "Tokens of settings that should change nothing";
    table.columns = {"setting", "completions", "tokens compared", "tokens that differ"};
    for (const Json& row : checks.at("same_tokens"))
      table.rows.push_back({words(row.at("setting")), number("{:.0f}", row.at("completions")),
                            number("{:.0f}", row.at("tokens")), number("{:.0f}", row.at("differ"))});
    document.blocks.push_back(std::move(table));
  }
  if (checks.contains("answers")) {
    Table table;
    table.title = "Answers by domain, greedy";
    table.columns = {"domain", "questions", "right", "right, % (95 %)"};
    for (const Json& row : checks.at("answers")) {
      const Json& rate = row.at("rate");
      table.rows.push_back(
          {words(row.at("domain")),
           number("{:.0f}", row.at("questions")),
           number("{:.0f}", row.at("right")),
           {fmt::format("{:.1f} ({:.1f} to {:.1f})", 100.0 * rate.at("value").get<double>(),
                        100.0 * rate.at("low").get<double>(), 100.0 * rate.at("high").get<double>()),
            100.0 * rate.at("value").get<double>()}});
    }
    document.blocks.push_back(std::move(table));
  }
  if (checks.contains("perplexity")) {
    Table table;
    table.title = "Perplexity";
    table.columns = {"text", "tokens", "nats a token (95 %)", "perplexity"};
    const Json& own = checks.at("perplexity");
    table.rows.push_back({words(own.at("text")), number("{:.0f}", own.at("tokens")),
                          interval_cell(own.at("nats")), number("{:.3f}", own.at("perplexity"))});
    document.blocks.push_back(std::move(table));
  }
  if (checks.contains("goldens")) {
    Table table;
    table.title = "Logits beside recorded ones";
    table.columns = {"recorded", "positions", "largest difference", "same first choice, %"};
    const Json& own = checks.at("goldens");
    table.rows.push_back({words(own.at("file")), number("{:.0f}", own.at("positions")),
                          number("{:.3g}", own.at("largest_difference")),
                          number("{:.2f}", 100.0 * own.at("same_first_choice").get<double>())});
    document.blocks.push_back(std::move(table));
  }
}

}  // namespace ft::eval
