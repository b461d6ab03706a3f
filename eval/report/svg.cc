#include "eval/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "eval/report/scale.h"

namespace ft::eval {

namespace {

constexpr double kWidth = 720.0;
constexpr double kLeft = 80.0, kRight = 20.0, kTop = 16.0, kBottom = 52.0;
constexpr double kPlotHeight = 300.0;
constexpr double kLegendLine = 20.0;
// Mean width of a character of the legend's font.
constexpr double kCharacter = 6.9;

std::string text_at(double x, double y, const std::string& text, const char* anchor, const char* extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, extra,
                     escaped(text));
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1,
                     x2, y2, style);
}

// Filled shapes that differ without colour, too.
std::string marker(double x, double y, size_t series) {
  const auto colour = static_cast<int>(series % kSeriesColours);
  const auto points = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string list;
    for (const auto& [dx, dy] : corners) list += fmt::format("{:.1f},{:.1f} ", x + dx, y + dy);
    list.pop_back();
    return fmt::format("<polygon points=\"{}\" class=\"m s{}\"/>", list, colour);
  };
  switch (series % 5) {
    case 0:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"m s{}\"/>", x, y, colour);
    case 1:
      return points({{-3.8, -3.8}, {3.8, -3.8}, {3.8, 3.8}, {-3.8, 3.8}});
    case 2:
      return points({{0, -5}, {4.8, 3.6}, {-4.8, 3.6}});
    case 3:
      return points({{0, -5.4}, {5.4, 0}, {0, 5.4}, {-5.4, 0}});
    default:
      return points({{0, 5}, {4.8, -3.6}, {-4.8, -3.6}});
  }
}

// Names in rows below the plot; returns the height that they take.
template <class Mark>
std::string legend(const std::vector<std::string>& names, double top, double& height, Mark mark) {
  std::string out;
  double x = kLeft;
  double y = top;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = 34.0 + kCharacter * static_cast<double>(names[i].size());
    if (x > kLeft && x + width > kWidth - kRight) {
      x = kLeft;
      y += kLegendLine;
    }
    out += mark(x + 12.0, y, i);
    out += text_at(x + 28.0, y + 4.0, names[i], "start");
    x += width + 10.0;
  }
  height = names.empty() ? 0.0 : y - top + kLegendLine;
  return out;
}

std::string axes(const Scale& x, const Scale& y, const std::string& x_label, const std::string& y_label,
                 bool x_ticks) {
  std::string out;
  const double right = kWidth - kRight;
  const double bottom = kTop + kPlotHeight;
  const std::vector<double> rows = y.ticks(6);
  for (const double tick : rows) {
    out += line(kLeft, y.place(tick), right, y.place(tick), "grid");
    out += text_at(kLeft - 8.0, y.place(tick) + 4.0, tick_text(tick, rows), "end");
  }
  if (x_ticks) {
    const std::vector<double> columns = x.ticks(9);
    for (const double tick : columns) {
      out += line(x.place(tick), bottom, x.place(tick), bottom + 5.0, "axis");
      out += text_at(x.place(tick), bottom + 19.0, tick_text(tick, columns), "middle");
    }
  }
  out += line(kLeft, bottom, right, bottom, "axis");
  out += text_at(0.5 * (kLeft + right), bottom + 40.0, x_label, "middle", " class=\"label\"");
  const double middle = kTop + 0.5 * kPlotHeight;
  out += text_at(12.0, middle, y_label, "middle",
                 fmt::format(" class=\"label\" transform=\"rotate(-90 12 {:.1f})\"", middle).c_str());
  return out;
}

std::string frame(const std::string& title, double height, const std::string& inside) {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" role=\"img\" "
      "aria-label=\"{}\">\n{}</svg>\n",
      kWidth, height, kWidth, height, escaped(title), inside);
}

struct Bounds {
  double x_low = std::numeric_limits<double>::infinity();
  double x_high = -x_low;
  double y_low = x_low;
  double y_high = -x_low;
};

Bounds bounds_of(const LinePlot& plot) {
  Bounds bounds;
  for (const PlotSeries& series : plot.series)
    for (const PlotPoint& point : series.points) {
      bounds.x_low = std::min(bounds.x_low, point.x);
      bounds.x_high = std::max(bounds.x_high, point.x);
      bounds.y_low = std::min(bounds.y_low, point.low);
      bounds.y_high = std::max(bounds.y_high, point.high);
    }
  if (bounds.x_low > bounds.x_high) bounds = {0.0, 1.0, 0.0, 1.0};
  if (plot.reference_y) {
    bounds.y_low = std::min(bounds.y_low, *plot.reference_y);
    bounds.y_high = std::max(bounds.y_high, *plot.reference_y);
  }
  if (plot.from_zero) bounds.y_low = std::min(0.0, bounds.y_low);
  if (!plot.from_zero) {
    const double margin = 0.08 * std::max(1e-9, bounds.y_high - bounds.y_low);
    bounds.y_low -= margin;
    bounds.y_high += margin;
  }
  if (plot.diagonal) bounds = {0.0, 1.0, 0.0, 1.0};
  if (plot.from_zero && !plot.y_max && !plot.diagonal) bounds.y_high = round_up(bounds.y_high);
  if (plot.y_max) bounds.y_high = *plot.y_max;
  return bounds;
}

std::string drawn(const PlotSeries& series, size_t index, const Scale& x, const Scale& y) {
  const std::string style =
      fmt::format("{} s{}", index < kSeriesColours ? "line" : "line dash", index % kSeriesColours);
  std::string out;
  if (series.line && series.points.size() > 1) {
    std::string path;
    for (const PlotPoint& point : series.points)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.place(point.x), y.place(point.y));
    out += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", path, style);
  }
  for (const PlotPoint& point : series.points) {
    if (point.high > point.low)
      out += line(x.place(point.x), y.place(point.low), x.place(point.x), y.place(point.high),
                  fmt::format("bar s{}", index % kSeriesColours).c_str());
    out += fmt::format("<g><title>{}: {:.4g}, {:.4g}</title>{}</g>\n", escaped(series.name), point.x, point.y,
                       marker(x.place(point.x), y.place(point.y), index));
  }
  return out;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string svg(const LinePlot& plot) {
  const Bounds bounds = bounds_of(plot);
  const double bottom = kTop + kPlotHeight;
  // A little room beside the outermost points.
  const double pad = 14.0;
  const Scale x(bounds.x_low, bounds.x_high, kLeft + pad, kWidth - kRight - pad, plot.log_x);
  const Scale y(bounds.y_low, bounds.y_high, bottom, kTop);
  std::string inside = axes(x, y, plot.x_label, plot.y_label, true);
  if (plot.diagonal) inside += line(x.place(0.0), y.place(0.0), x.place(1.0), y.place(1.0), "reference");
  if (plot.reference_y) {
    inside +=
        line(kLeft, y.place(*plot.reference_y), kWidth - kRight, y.place(*plot.reference_y), "reference");
    inside += text_at(kWidth - kRight - 4.0, y.place(*plot.reference_y) - 6.0, plot.reference_label, "end");
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    inside += drawn(plot.series[i], i, x, y);
    names.push_back(plot.series[i].name);
  }
  double legend_height = 0.0;
  inside += legend(names, bottom + kBottom + 10.0, legend_height,
                   [](double at_x, double at_y, size_t i) { return marker(at_x, at_y, i) + "\n"; });
  return frame(plot.title, bottom + kBottom + legend_height + 6.0, inside);
}

std::string svg(const BarPlot& plot) {
  double highest = 0.0;
  for (const BarPlot::Bar& bar : plot.bars) {
    double sum = 0.0;
    for (const double value : bar.values) sum += value;
    highest = std::max(highest, sum);
  }
  const double bottom = kTop + kPlotHeight;
  const Scale x(0.0, std::max<double>(1.0, static_cast<double>(plot.bars.size())), kLeft, kWidth - kRight);
  const Scale y(0.0, round_up(highest), bottom, kTop);
  std::string inside = axes(x, y, "", plot.y_label, false);
  const double width = std::min(70.0, 0.7 * (x.place(1.0) - x.place(0.0)));
  for (size_t i = 0; i < plot.bars.size(); ++i) {
    const double middle = x.place(static_cast<double>(i) + 0.5);
    double sum = 0.0;
    for (size_t part = 0; part < plot.bars[i].values.size(); ++part) {
      const double value = plot.bars[i].values[part];
      inside += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"m s{}\"><title>{}, {}: "
          "{:.4g}</title></rect>\n",
          middle - 0.5 * width, y.place(sum + value), width, y.place(sum) - y.place(sum + value),
          part % kSeriesColours, escaped(plot.bars[i].name), escaped(plot.parts[part]), value);
      sum += value;
    }
    // Numbers stand for the names, which a table below gives: names are too long for the axis.
    inside += text_at(middle, bottom + 19.0, fmt::format("{}", i + 1), "middle");
  }
  double bars_height = 0.0;
  double parts_height = 0.0;
  inside += legend(plot.parts, bottom + 40.0, parts_height, [](double at_x, double at_y, size_t i) {
    return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"12\" class=\"m s{}\"/>\n",
                       at_x - 6.0, at_y - 6.0, i % kSeriesColours);
  });
  std::vector<std::string> names;
  for (const BarPlot::Bar& bar : plot.bars) names.push_back(bar.name);
  inside += legend(names, bottom + 44.0 + parts_height, bars_height, [](double at_x, double at_y, size_t i) {
    return text_at(at_x + 8.0, at_y + 4.0, fmt::format("{}:", i + 1), "end", " class=\"label\"");
  });
  return frame(plot.title, bottom + 48.0 + parts_height + bars_height, inside);
}

std::string svg(const HeatMap& plot) {
  constexpr double kRow = 24.0;
  size_t longest = plot.y_label.size();
  for (const HeatMap::Row& row : plot.rows) longest = std::max(longest, row.name.size());
  const double left = 20.0 + kCharacter * static_cast<double>(longest);
  const double top = 44.0;
  const double column = std::min(
      80.0, (kWidth - kRight - left) / std::max<double>(1.0, static_cast<double>(plot.columns.size())));
  std::string inside = text_at(left + 0.5 * column * static_cast<double>(plot.columns.size()), 16.0,
                               plot.x_label, "middle", " class=\"label\"");
  inside += text_at(left - 8.0, 36.0, plot.y_label, "end", " class=\"label\"");
  for (size_t c = 0; c < plot.columns.size(); ++c)
    inside += text_at(left + (static_cast<double>(c) + 0.5) * column, 36.0, plot.columns[c], "middle");
  for (size_t r = 0; r < plot.rows.size(); ++r) {
    const double y = top + kRow * static_cast<double>(r);
    inside += text_at(left - 8.0, y + 16.0, plot.rows[r].name, "end");
    for (size_t c = 0; c < plot.rows[r].values.size(); ++c) {
      const std::optional<double>& value = plot.rows[r].values[c];
      const double x = left + static_cast<double>(c) * column;
      if (!value) continue;
      const double shade = std::clamp(*value, 0.0, 1.0);
      inside += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"h\" "
          "fill-opacity=\"{:.3f}\"/>\n",
          x + 1.0, y + 1.0, column - 2.0, kRow - 2.0, shade);
      inside += text_at(x + 0.5 * column, y + 16.0, fmt::format("{:.2f}", *value), "middle",
                        shade > 0.55 ? " class=\"on\"" : "");
    }
  }
  return frame(plot.title, top + kRow * static_cast<double>(plot.rows.size()) + 8.0, inside);
}

}  // namespace ft::eval
