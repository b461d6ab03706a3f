// A report before it has a form: headings, text, tables and plots. html.h, markdown.h and csv.h give it one.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "eval/report/plots.h"

namespace ft::eval {

struct Heading {
  std::string text;
};

struct Paragraph {
  std::string text;
};

// A cell shows `text`; a number beside it is what it is sorted by and what CSV gets.
struct TableCell {
  std::string text;
  std::optional<double> number;
};

struct Table {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<TableCell>> rows;
};

// Text that is folded away in HTML: a command, a configuration.
struct Details {
  std::string title;
  std::string text;
};

using Block = std::variant<Heading, Paragraph, Table, Details, LinePlot, BarPlot, HeatMap>;

struct Document {
  std::string title;
  std::vector<Block> blocks;
};

TableCell words(std::string text);
// In a fmt format for one number: "{:.3f}".
TableCell number(const char* format, double value);

}  // namespace ft::eval
