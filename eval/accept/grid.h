// The cells of an acceptance experiment: every combination of the values that its axes name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "eval/results/result_file.h"
#include "eval/session.h"

namespace ft::eval {

// One way to speculate, on one set of prompts.
struct GridCell {
  std::string dataset;  // the file's name without folder and extension
  std::string drafter;  // as generate's --drafter
  int32_t depth = 0;    // drafted tokens deep at most; 0 = as deep as the drafter can
  int32_t rows = 0;     // verified per step at most, anchor included; 0 = the scheduler decides
  double temperature = 0.0;
  std::string rule;      // coupled or rejection
  std::string tree;      // best-first or chain
  std::string thinking;  // as-is, on or off: how prompts that are messages are rendered

  bool operator==(const GridCell&) const = default;
};

// "nano dspark, best-first 6 rows, depth 5, coupled, T 1, thinking on". Cells that differ have different
// names.
std::string cell_name(const GridCell& cell);
Json cell_json(const GridCell& cell);
// May throw what nlohmann::json throws.
GridCell cell_of_json(const Json& json);

// Values of each axis; the cells are their product, datasets outermost, then thinking, temperatures,
// drafters, rules, trees, depths and rows.
struct GridAxes {
  std::vector<std::string> drafters = {"auto"};
  std::vector<int32_t> depths = {0};
  std::vector<int32_t> rows = {6, 12, 0};
  std::vector<double> temperatures = {0.0, 1.0};
  std::vector<std::string> rules = {"rejection", "coupled"};
  std::vector<std::string> trees = {"chain", "best-first"};
  std::vector<std::string> thinking = {"as-is"};
};

// The product of each of `grids` over the datasets, without cells that could not differ from another one:
//   * rejection draws chains, so it has no best-first cells; at temperature 0 it is what coupled is, and left
//     out where coupled is there too
//   * a chain of d tokens has d + 1 rows, so a chain with more rows than depth + 1 is left out
//   * without a drafter there is one row, and neither a tree nor a depth
// kInvalidArgument naming a value that no axis knows, or if no cell is left.
Result<std::vector<GridCell>> grid_cells(const std::vector<GridAxes>& grids,
                                         const std::vector<std::string>& datasets);

}  // namespace ft::eval
