// The plots of a report, as data. svg.h draws them.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ft::eval {

struct PlotPoint {
  double x = 0.0;
  double y = 0.0;
  // A 95 % interval of y, drawn as a bar; equal to y where there is none.
  double low = 0.0;
  double high = 0.0;
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
  bool line = true;  // connected, in the order given
};

struct LinePlot {
  std::string title;
  std::string x_label;  // with its unit
  std::string y_label;
  std::vector<PlotSeries> series = {};
  std::optional<double> reference_y = {};  // a horizontal line
  std::string reference_label = {};
  bool diagonal = false;  // the line y = x
  bool log_x = false;
  bool from_zero = true;  // y begins at 0
  std::optional<double> y_max = {};
};

// Bars of parts on each other.
struct BarPlot {
  std::string title;
  std::string y_label;
  std::vector<std::string> parts;
  struct Bar {
    std::string name;
    std::vector<double> values;  // of each part
  };
  std::vector<Bar> bars;
};

struct HeatMap {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<std::string> columns;
  struct Row {
    std::string name;
    std::vector<std::optional<double>> values;  // from 0 to 1; none: nothing was observed
  };
  std::vector<Row> rows;
};

}  // namespace ft::eval
