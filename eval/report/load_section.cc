#include "eval/report/sections.h"

namespace ft::eval {

namespace {

std::string errors_text(const Json& errors) {
  std::string text;
  for (const auto& [kind, count] : errors.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.get<int64_t>(), kind);
  return text.empty() ? "none" : text;
}

// What the levels are arranged by: the offered rate, or the requests at a time.
double offered(const Json& level) {
  return level.at("concurrency") > 0 ? level.at("concurrency").get<double>() : level.at("rate").get<double>();
}

}  // namespace

void add_load_section(const ResultFile& result, Document& document) {
  document.blocks.push_back(
      Paragraph{"TTFT is the time from sending a request, connecting included, to its first text; TPOT the "
                "time per token after it. "
                "A gap lies between two events of one reply, which hold several tokens where drafts were "
                "accepted. Goodput counts "
                "the requests that kept the service level."});
  const Json& levels = result.figures.at("levels");
  Table table;
  table.title = "Levels of load";
  table.columns = {"level",         "requests",      "errors",
                   "requests/s",    "tokens/s",      "goodput, requests/s",
                   "TTFT p50, ms",  "TTFT p99, ms",  "TPOT p50, ms",
                   "TPOT p99, ms",  "gap p50, ms",   "gap p99, ms",
                   "total p50, ms", "total p99, ms", "accepted length"};
  LinePlot latency{.title = "Latency against load (medians; bars reach from there to the 99th percentile)",
                   .x_label = "",
                   .y_label = "milliseconds"};
  LinePlot tokens{.title = "Throughput against load", .x_label = "", .y_label = "tokens per second"};
  PlotSeries ttft{"TTFT", {}, true}, tpot{"TPOT", {}, true}, rate{"all replies", {}, true};
  bool concurrency = false;
  for (const Json& level : levels) {
    const auto at = [&](const char* what, const char* which) {
      return number("{:.2f}", level.at(what).at(which));
    };
    table.rows.push_back(
        {words(level.at("name")), number("{:.0f}", level.at("requests")),
         words(errors_text(level.at("errors"))), number("{:.2f}", level.at("requests_per_s")),
         number("{:.1f}", level.at("tokens_per_s")), number("{:.2f}", level.at("goodput_per_s")),
         at("ttft_ms", "p50"), at("ttft_ms", "p99"), at("tpot_ms", "p50"), at("tpot_ms", "p99"),
         at("gap_ms", "p50"), at("gap_ms", "p99"), at("total_ms", "p50"), at("total_ms", "p99"),
         level.contains("accepted_length") ? number("{:.3f}", level.at("accepted_length"))
                                           : words("not reported")});
    const double x = offered(level);
    concurrency = concurrency || level.at("concurrency") > 0;
    const auto point = [&](const char* what) {
      const double median = level.at(what).at("p50");
      return PlotPoint{x, median, median, level.at(what).at("p99")};
    };
    ttft.points.push_back(point("ttft_ms"));
    tpot.points.push_back(point("tpot_ms"));
    const double all = level.at("tokens_per_s");
    rate.points.push_back({x, all, all, all});
  }
  document.blocks.push_back(std::move(table));
  if (levels.size() < 2) return;
  latency.x_label = tokens.x_label = concurrency ? "requests at a time" : "offered requests per second";
  latency.series = {std::move(ttft), std::move(tpot)};
  tokens.series = {std::move(rate)};
  document.blocks.push_back(std::move(latency));
  document.blocks.push_back(std::move(tokens));
}

}  // namespace ft::eval
