#include <algorithm>

#include "eval/report/sections.h"

namespace ft::eval {

namespace {

PlotPoint plain_point(const Json& x, const Json& y) {
  const double value = y;
  return {x, value, value, value};
}

// A line for each arm of a study: member `y` against member `x`.
LinePlot study_plot(const Json& arms, const char* title, const char* x, const char* x_label, const char* y,
                    const char* y_label) {
  LinePlot plot{.title = title, .x_label = x_label, .y_label = y_label};
  for (const Json& arm : arms) {
    PlotSeries series{arm.at("name"), {}, true};
    for (const Json& point : arm.at("points")) series.points.push_back(plain_point(point.at(x), point.at(y)));
    plot.series.push_back(std::move(series));
  }
  return plot;
}

void add_study(const Json& figures, Document& document) {
  const Json& arms = figures.at("arms");
  document.blocks.push_back(study_plot(arms, "Throughput against speed per user", "tokens_per_s_user",
                                       "tokens per second that one user sees", "tokens_per_s_device",
                                       "tokens per second and device"));
  LinePlot rows = study_plot(arms, "Verified rows against concurrency", "users_per_device",
                             "requests at a time, per device", "rows_per_request",
                             "verified rows a request, anchor included");
  rows.log_x = true;
  document.blocks.push_back(std::move(rows));
  Table table;
  table.title = "Points of every arm";
  table.columns = {"arm",         "users a device",  "tokens/s a device", "tokens/s a user",
                   "rows a step", "accepted length", "step, ms",          "drafting, %"};
  for (const Json& arm : arms)
    for (const Json& point : arm.at("points"))
      table.rows.push_back(
          {words(arm.at("name")), number("{:.0f}", point.at("users_per_device")),
           number("{:.0f}", point.at("tokens_per_s_device")), number("{:.1f}", point.at("tokens_per_s_user")),
           number("{:.2f}", point.at("rows_per_request")), number("{:.3f}", point.at("accepted_length")),
           number("{:.2f}", point.at("step_ms")),
           number("{:.0f}", 100.0 * point.at("drafting").get<double>())});
  document.blocks.push_back(std::move(table));
  Table matched;
  matched.title = "Speed per user at the same throughput";
  matched.columns = {"arm",    "beside", "tokens/s a device", "beside: tokens/s a user", "tokens/s a user",
                     "gain, %"};
  LinePlot speedup{.title = "Speed per user over that of the first arm, at the same throughput",
                   .x_label = "tokens per second and device",
                   .y_label = "times",
                   .from_zero = true};
  speedup.reference_y = 1.0;
  speedup.reference_label = "the first arm";
  const Json first = arms.empty() ? Json() : arms[0].at("name");
  for (const Json& pair : figures.at("matched")) {
    PlotSeries series{pair.at("arm"), {}, true};
    for (const Json& gain : pair.at("points")) {
      matched.rows.push_back(
          {words(pair.at("arm")), words(pair.at("baseline")),
           number("{:.0f}", gain.at("tokens_per_s_device")), number("{:.1f}", gain.at("baseline_per_user")),
           number("{:.1f}", gain.at("per_user")), number("{:+.0f}", 100.0 * gain.at("gain").get<double>())});
      const double times = 1.0 + gain.at("gain").get<double>();
      series.points.push_back({gain.at("tokens_per_s_device"), times, times, times});
    }
    if (pair.at("baseline") == first && !series.points.empty()) speedup.series.push_back(std::move(series));
  }
  if (!speedup.series.empty()) document.blocks.push_back(std::move(speedup));
  document.blocks.push_back(std::move(matched));
}

void add_sensitivity(const Json& figures, Document& document) {
  document.blocks.push_back(Paragraph{
      fmt::format("Gain in speed per user of DSpark over MTP-1 at the throughput where MTP-1 gives a user "
                  "about 80 tokens per second: "
                  "{:+.0f} % with the stated inputs. Each line changes one input alone, by these factors.",
                  100.0 * figures.at("stated_gain").get<double>())});
  Table table;
  table.title = "What the gain depends on";
  table.columns = {"input", "factor", "gain, %", "factor", "gain, %", "range, points"};
  for (const Json& row : figures.at("sensitivity")) {
    const double low = 100.0 * row.at("low_gain").get<double>();
    const double high = 100.0 * row.at("high_gain").get<double>();
    table.rows.push_back({words(row.at("point")), number("{:.2f}", row.at("low_factor")),
                          number("{:+.0f}", low), number("{:.2f}", row.at("high_factor")),
                          number("{:+.0f}", high),
                          number("{:.0f}", std::max(low, high) - std::min(low, high))});
  }
  document.blocks.push_back(std::move(table));
}

void add_deployment(const Json& arm, Document& document) {
  Table table;
  table.title = "Simulated levels of load, and what was measured";
  table.columns = {"level",        "requests",     "tokens/s",    "measured",      "off by, %",
                   "TPOT p50, ms", "measured, ms", "off by, %",   "TPOT mean, ms", "measured, ms",
                   "off by, %",    "TTFT p50, ms", "measured, ms"};
  LinePlot tpot{.title = "Time per output token, simulated and measured",
                .x_label = "offered requests per second",
                .y_label = "milliseconds, mean"};
  PlotSeries simulated{"simulated", {}, true}, measured{"measured", {}, true};
  for (const Json& point : arm.at("points")) {
    const Json& own = point.at("simulated");
    const bool real = point.contains("measured");
    const auto beside = [&](auto cell) { return real ? cell() : words("not measured"); };
    const auto measured_tpot = [&](const char* which) {
      return beside([&] { return number("{:.3f}", point.at("measured").at("tpot_ms").at(which)); });
    };
    const auto tpot_deviation = [&](const char* which) {
      return beside([&] {
        const double real_ms = point.at("measured").at("tpot_ms").at(which).template get<double>();
        const double own_ms = own.at("tpot_ms").at(which).template get<double>();
        return real_ms > 0.0 ? number("{:+.1f}", 100.0 * (own_ms / real_ms - 1.0))
                             : words("nothing measured");
      });
    };
    table.rows.push_back(
        {words(point.at("point")), number("{:.0f}", own.at("requests")),
         number("{:.1f}", own.at("tokens_per_s")),
         beside([&] { return number("{:.1f}", point.at("measured").at("tokens_per_s")); }), beside([&] {
           return number("{:+.1f}", 100.0 * point.at("throughput_deviation").template get<double>());
         }),
         number("{:.3f}", own.at("tpot_ms").at("p50")), measured_tpot("p50"), tpot_deviation("p50"),
         number("{:.3f}", own.at("tpot_ms").at("mean")), measured_tpot("mean"), tpot_deviation("mean"),
         number("{:.2f}", own.at("ttft_ms").at("p50")),
         beside([&] { return number("{:.2f}", point.at("measured").at("ttft_ms").at("p50")); })});
    simulated.points.push_back(plain_point(point.at("rate"), own.at("tpot_ms").at("mean")));
    if (real)
      measured.points.push_back(plain_point(point.at("rate"), point.at("measured").at("tpot_ms").at("mean")));
  }
  document.blocks.push_back(std::move(table));
  if (simulated.points.size() < 2) return;
  tpot.series = {std::move(simulated)};
  if (!measured.points.empty()) tpot.series.push_back(std::move(measured));
  document.blocks.push_back(std::move(tpot));
}

}  // namespace

void add_simulate_section(const ResultFile& result, Document& document) {
  document.blocks.push_back(
      Paragraph{"The scheduler is the real one; the model is replaced by drawn acceptance and virtual "
                "seconds, whose inputs are in "
                "the configuration below."});
  if (result.figures.contains("sensitivity")) {
    add_sensitivity(result.figures, document);
  } else if (result.figures.contains("matched")) {
    add_study(result.figures, document);
  } else {
    for (const Json& arm : result.figures.at("arms")) add_deployment(arm, document);
  }
}

}  // namespace ft::eval
