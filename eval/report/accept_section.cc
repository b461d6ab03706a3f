#include <algorithm>
#include <cmath>
#include <map>

#include "eval/accept/cell_run.h"
#include "eval/report/sections.h"

namespace ft::eval {

namespace {

// Series of one plot that can still be told apart; with intervals, fewer.
constexpr size_t kSeriesMax = 7;
constexpr size_t kDepthSeriesMax = 4;
// Between the points of two series at the same place.
constexpr double kDodge = 0.05;

// Cells that answer the same question of the same prompts, at one temperature.
struct Group {
  std::string name;
  std::vector<const Json*> all;  // figures over all domains
};

std::string short_name(const Json& figures) {
  GridCell cell = cell_of_json(figures.at("cell"));
  std::string name = figures.at("drafter");
  if (cell.drafter == "none" || name == "none") return "plain";
  name += cell.tree == "chain" ? " chain" : " tree";
  name += cell.rows == 0 ? ", adaptive" : fmt::format(", {} rows", cell.rows);
  if (cell.depth > 0) name += fmt::format(", depth {}", cell.depth);
  if (cell.rule == "rejection") name += ", rejection";
  return name;
}

std::string group_name(const GridCell& cell) {
  std::string name = fmt::format("{}, temperature {}", cell.dataset, cell.temperature);
  if (cell.thinking != "as-is") name += ", thinking " + cell.thinking;
  return name;
}

std::vector<Group> groups_of(const Json& cells) {
  std::vector<Group> groups;
  for (const Json& figures : cells) {
    if (figures.at("domain") != "all") continue;
    const std::string name = group_name(cell_of_json(figures.at("cell")));
    auto group = std::ranges::find(groups, name, &Group::name);
    if (group == groups.end()) group = groups.insert(groups.end(), {name, {}});
    group->all.push_back(&figures);
  }
  return groups;
}

void add_length_table(const Group& group, Document& document) {
  Table table;
  table.title = fmt::format("Accepted length per verify step, bonus token included: {}", group.name);
  table.columns = {"cell",
                   "requests",
                   "steps",
                   "by request (95 %)",
                   "by step (95 %)",
                   "rows a step",
                   "per row (95 %)",
                   "over the first, by request",
                   "over the first, by step"};
  for (const Json* figures : group.all) {
    std::vector<TableCell> row = {words(short_name(*figures)),
                                  number("{:.0f}", figures->at("requests")),
                                  number("{:.0f}", figures->at("steps")),
                                  interval_cell(figures->at("length_request_weighted")),
                                  interval_cell(figures->at("length_token_weighted")),
                                  number("{:.2f}", figures->at("rows_per_step")),
                                  interval_cell(figures->at("accepted_per_row"))};
    for (const char* ratio : {"ratio_request_weighted", "ratio_token_weighted"})
      row.push_back(figures->contains(ratio) ? interval_cell(figures->at(ratio)) : words("the first"));
    table.rows.push_back(std::move(row));
  }
  document.blocks.push_back(std::move(table));
}

// The first cell, which the others are compared with, and those that accept most.
std::vector<const Json*> cells_for_depths(const Group& group) {
  std::vector<const Json*> chosen = group.all;
  const auto length = [](const Json* figures) {
    return figures->at("length_token_weighted").at("value").get<double>();
  };
  std::stable_sort(chosen.begin() + 1, chosen.end(),
                   [&](const Json* a, const Json* b) { return length(a) > length(b); });
  chosen.resize(std::min(chosen.size(), kDepthSeriesMax));
  return chosen;
}

void add_depth_plot(const Group& group, const char* member, const std::string& title,
                    const std::string& y_label, Document& document) {
  LinePlot plot;
  plot.title = fmt::format("{}: {}", title, group.name);
  plot.x_label = "depth in the draft (tokens after the anchor)";
  plot.y_label = y_label;
  plot.y_max = 1.0;
  for (const Json* figures : cells_for_depths(group)) {
    PlotSeries series{short_name(*figures), {}, true};
    const double place = kDodge * static_cast<double>(plot.series.size());
    for (size_t depth = 0; depth < figures->at(member).size(); ++depth)
      series.points.push_back(point_at(static_cast<double>(depth + 1) + place, figures->at(member)[depth]));
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  if (!plot.series.empty()) document.blocks.push_back(std::move(plot));
}

// Accepted length over rows: a line for each way to speculate that was run with several numbers of rows.
void add_rows_plot(const Group& group, Document& document) {
  std::map<std::string, PlotSeries> lines;
  for (const Json* figures : group.all) {
    GridCell cell = cell_of_json(figures->at("cell"));
    const bool adaptive = cell.rows == 0;
    std::string name =
        fmt::format("{} {}{}", figures->at("drafter").get<std::string>(),
                    cell.tree == "chain" ? "chain" : "tree", cell.rule == "rejection" ? ", rejection" : "");
    if (adaptive) name += ", adaptive";
    PlotSeries& series = lines[name];
    series.name = name;
    series.points.push_back(point_at(figures->at("rows_per_step"), figures->at("length_token_weighted")));
  }
  LinePlot plot;
  plot.title = fmt::format("Accepted length against verified rows: {}", group.name);
  plot.x_label = "verified rows per step and request, anchor included (mean)";
  plot.y_label = "tokens per step, bonus included";
  size_t longest = 0;
  for (auto& [name, series] : lines) {
    std::ranges::sort(series.points, {}, &PlotPoint::x);
    longest = std::max(longest, series.points.size());
    plot.series.push_back(std::move(series));
  }
  if (longest > 1 && plot.series.size() <= kSeriesMax) document.blocks.push_back(std::move(plot));
}

// Predicted against observed, of the cell with most predictions.
void add_reliability(const Group& group, Document& document) {
  const Json* chosen = nullptr;
  int64_t most = 0;
  for (const Json* figures : group.all) {
    int64_t count = 0;
    for (const Json& depth : figures->at("calibration")) count += depth.at("count").get<int64_t>();
    if (count > most) chosen = figures;
    most = std::max(most, count);
  }
  if (chosen == nullptr) return;
  LinePlot plot;
  plot.title = fmt::format("Reliability of path probabilities: {}, {}", short_name(*chosen), group.name);
  plot.x_label = "predicted probability that the target's path runs through a node";
  plot.y_label = "observed rate";
  plot.diagonal = true;
  for (const size_t depth : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{8}}) {
    if (chosen->at("calibration").size() < depth) break;
    PlotSeries series{fmt::format("depth {}", depth), {}, true};
    for (const Json& bin : chosen->at("calibration")[depth - 1].at("bins")) {
      const auto count = bin.at("count").get<double>();
      // Of fewer the rate is mostly chance.
      if (count < 20.0) continue;
      const double rate = bin.at("hits").get<double>() / count;
      const double half = 1.96 * std::sqrt(rate * (1.0 - rate) / count);
      series.points.push_back({bin.at("predicted").get<double>() / count, rate, std::max(0.0, rate - half),
                               std::min(1.0, rate + half)});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  document.blocks.push_back(std::move(plot));
}

void add_calibration_table(const Group& group, Document& document) {
  Table table;
  table.title = fmt::format("Calibration of path probabilities, by depth: {}", group.name);
  table.columns = {"cell", "depth", "predictions", "ECE, %", "noise alone, %", "Brier", "AUC"};
  for (const Json* figures : group.all)
    for (size_t depth = 0; depth < figures->at("calibration").size(); ++depth) {
      const Json& own = figures->at("calibration")[depth];
      if (own.at("count") == 0) continue;
      table.rows.push_back({words(short_name(*figures)), number("{:.0f}", static_cast<double>(depth + 1)),
                            number("{:.0f}", own.at("count")),
                            number("{:.2f}", 100.0 * own.at("ece").get<double>()),
                            number("{:.2f}", 100.0 * own.at("noise").get<double>()),
                            number("{:.4f}", own.at("brier")), number("{:.3f}", own.at("auc"))});
    }
  if (!table.rows.empty()) document.blocks.push_back(std::move(table));
}

// s1, s2, s3: of the steps in which the first ranks were wrong, how often the next one was right.
void add_rank_table(const Group& group, Document& document) {
  Table table;
  table.title = fmt::format(
      "Rank of the target's token among the drafted children (s2: right where the first was not): {}",
      group.name);
  table.columns = {"cell", "depth", "reached", "s1", "s2", "s3"};
  for (const Json* figures : group.all)
    for (size_t depth = 0; depth < figures->at("ranks").size(); ++depth) {
      const Json& own = figures->at("ranks")[depth];
      std::vector<TableCell> row = {words(short_name(*figures)),
                                    number("{:.0f}", static_cast<double>(depth + 1)),
                                    number("{:.0f}", own.at("reached"))};
      const bool chain = figures->at("cell").at("tree") == "chain";
      double left = own.at("reached");
      for (size_t rank = 0; rank < own.at("hits").size(); ++rank) {
        const double hits = own.at("hits")[rank];
        row.push_back(chain && rank > 0 ? words("not drafted")
                                        : number("{:.3f}", left > 0.0 ? hits / left : 0.0));
        left -= hits;
      }
      table.rows.push_back(std::move(row));
    }
  if (!table.rows.empty()) document.blocks.push_back(std::move(table));
}

void add_time_stack(const Group& group, Document& document) {
  BarPlot plot;
  plot.title =
      fmt::format("Time of a decode step of the engine, all running requests together: {}", group.name);
  plot.y_label = "milliseconds per step";
  plot.parts = {"draft", "verify", "commit"};
  Table table;
  table.title = fmt::format("Decode steps of the engine (means): {}", group.name);
  table.columns = {"cell",       "steps",     "rows", "distinct experts", "draft, ms a call",
                   "verify, ms", "commit, ms"};
  for (const Json* figures : group.all) {
    if (!figures->contains("per_step")) continue;
    const Json& step = figures->at("per_step");
    plot.bars.push_back(
        {short_name(*figures), {step.at("draft_ms"), step.at("verify_ms"), step.at("commit_ms")}});
    table.rows.push_back({words(short_name(*figures)), number("{:.0f}", step.at("decode_steps")),
                          number("{:.1f}", step.at("rows")), number("{:.1f}", step.at("distinct_experts")),
                          number("{:.3f}", step.at("draft_ms")), number("{:.3f}", step.at("verify_ms")),
                          number("{:.3f}", step.at("commit_ms"))});
  }
  if (plot.bars.empty()) return;
  document.blocks.push_back(std::move(plot));
  document.blocks.push_back(std::move(table));
}

// Cost of a decode step against its rows, and against the experts that they read; all cells together.
void add_cost_plots(const ResultFile& result, Document& document) {
  std::map<int64_t, StepSums> by_rows;
  for (const Json& row : result.rows)
    for (const Json& sums : row.at("steps").at("decode")) {
      const auto steps = sums.at("steps").get<int64_t>();
      if (steps > 0)
        by_rows[sums.at("rows").get<int64_t>() / steps].add(
            {steps, sums.at("rows"), 0, sums.at("experts"), sums.at("verify_s"), sums.at("commit_s")});
    }
  LinePlot cost{.title = "Time of a decode step against its rows (all cells)",
                .x_label = "verified rows of the step, all requests together",
                .y_label = "milliseconds, verify and commit"};
  LinePlot experts{.title = "Distinct experts that a decode step reads (all cells)",
                   .x_label = "verified rows of the step, all requests together",
                   .y_label = "(layer, expert) pairs"};
  PlotSeries seconds{"mean of at least 10 steps", {}, false};
  PlotSeries pairs = seconds;
  for (const auto& [rows, sums] : by_rows) {
    if (sums.steps < 10) continue;
    const auto steps = static_cast<double>(sums.steps);
    const double ms = 1e3 * (sums.verify_seconds + sums.commit_seconds) / steps;
    const double read = static_cast<double>(sums.experts) / steps;
    seconds.points.push_back({static_cast<double>(rows), ms, ms, ms});
    pairs.points.push_back({static_cast<double>(rows), read, read, read});
  }
  if (seconds.points.size() < 2) return;
  cost.series = {std::move(seconds)};
  experts.series = {std::move(pairs)};
  document.blocks.push_back(std::move(cost));
  document.blocks.push_back(std::move(experts));
}

// Conditional acceptance by domain and depth, of the group's cell that accepted most.
void add_domain_map(const Group& group, const Json& cells, Document& document) {
  const Json* best = nullptr;
  for (const Json* figures : group.all)
    if (best == nullptr ||
        figures->at("length_token_weighted").at("value") > best->at("length_token_weighted").at("value"))
      best = figures;
  HeatMap map;
  map.title = fmt::format("Acceptance by domain and depth, given that the depth before was accepted: {}, {}",
                          short_name(*best), group.name);
  map.x_label = "depth in the draft";
  map.y_label = "domain";
  size_t deepest = 0;
  for (const Json& figures : cells) {
    if (figures.at("cell") != best->at("cell") || figures.at("domain") == "all") continue;
    HeatMap::Row row{figures.at("domain"), {}};
    for (const Json& depth : figures.at("conditional")) row.values.push_back(depth.at("value").get<double>());
    deepest = std::max(deepest, row.values.size());
    map.rows.push_back(std::move(row));
  }
  for (size_t depth = 1; depth <= deepest; ++depth) map.columns.push_back(fmt::format("{}", depth));
  if (map.rows.size() > 1 && deepest > 0) document.blocks.push_back(std::move(map));
}

void add_domain_table(const Group& group, const Json& cells, Document& document) {
  Table table;
  table.title = fmt::format("Accepted length by domain: {}", group.name);
  table.columns = {"cell", "domain", "requests", "by request (95 %)", "by step (95 %)"};
  for (const Json& figures : cells) {
    if (figures.at("domain") == "all" || group_name(cell_of_json(figures.at("cell"))) != group.name) continue;
    table.rows.push_back({words(short_name(figures)), words(figures.at("domain")),
                          number("{:.0f}", figures.at("requests")),
                          interval_cell(figures.at("length_request_weighted")),
                          interval_cell(figures.at("length_token_weighted"))});
  }
  if (!table.rows.empty()) document.blocks.push_back(std::move(table));
}

}  // namespace

void add_accept_section(const ResultFile& result, Document& document) {
  document.blocks.push_back(
      Paragraph{"Accepted length is the number of tokens that a verify step emits: the accepted drafts and "
                "one more, the bonus "
                "token. By request, every request counts once; by step, every step does. Intervals hold the "
                "value with 95 % "
                "confidence (bootstrap over prompts); ratios are paired by prompt. Unconditional acceptance "
                "at a depth is the share "
                "of all steps that accepted a token there, conditional acceptance the share of those that "
                "accepted the depth "
                "before."});
  const Json& cells = result.figures.at("cells");
  for (const Group& group : groups_of(cells)) {
    add_length_table(group, document);
    add_rows_plot(group, document);
    add_depth_plot(group, "conditional", "Conditional acceptance by depth", "rate, given the depth before",
                   document);
    add_depth_plot(group, "unconditional", "Survival of drafts", "share of steps that accept so deep",
                   document);
    add_reliability(group, document);
    add_time_stack(group, document);
    add_domain_map(group, cells, document);
    add_rank_table(group, document);
    add_calibration_table(group, document);
    add_domain_table(group, cells, document);
  }
  add_cost_plots(result, document);
}

}  // namespace ft::eval
