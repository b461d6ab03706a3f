#include "eval/report/sections.h"

namespace ft::eval {

void add_speedup_section(const ResultFile& result, Document& document) {
  document.blocks.push_back(
      Paragraph{"Throughput with speculation over throughput without, of the same requests on the same "
                "machine: both ran in "
                "turns of a tenth of a second, and produced the same tokens. Intervals are over rounds."});
  LinePlot plot{.title = "Speed-up by speculation against concurrency",
                .x_label = "requests at a time",
                .y_label = "throughput with / without"};
  plot.log_x = true;
  plot.reference_y = 1.0;
  plot.reference_label = "as fast as without";
  PlotSeries series{result.configuration.value("drafter", "speculation"), {}, true};
  Table table;
  table.title = "Speed-up by concurrency";
  table.columns = {"requests at a time", "mean (95 %)", "median",
                   "accepted length",    "rows a step", "drafting, %"};
  for (const Json& level : result.figures.at("levels")) {
    const Json& mean = level.at("ratio");
    series.points.push_back(point_at(level.at("concurrency"), mean));
    table.rows.push_back({number("{:.0f}", level.at("concurrency")), interval_cell(mean),
                          number("{:.3f}", level.at("ratio_median")),
                          number("{:.3f}", level.at("with").at("mean_accepted_length")),
                          number("{:.2f}", level.at("with").at("rows_per_step")),
                          number("{:.0f}", 100.0 * level.at("with").at("drafting_share").get<double>())});
  }
  plot.series = {std::move(series)};
  document.blocks.push_back(std::move(plot));
  document.blocks.push_back(std::move(table));
}

}  // namespace ft::eval
