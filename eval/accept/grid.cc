#include "eval/accept/grid.h"

#include <algorithm>

#include "draft/drafter_registry.h"
#include "eval/generate_command.h"

namespace ft::eval {

namespace {

Result<void> check_axes(const GridAxes& axes) {
  for (const std::string& name : axes.drafters)
    if (auto known = draft::parse_drafter(name); !known) return tl::make_unexpected(known.error());
  for (const std::string& name : axes.rules)
    if (auto known = parse_acceptance(name); !known) return tl::make_unexpected(known.error());
  for (const std::string& name : axes.trees)
    if (auto known = parse_tree_shape(name); !known) return tl::make_unexpected(known.error());
  for (const std::string& name : axes.thinking)
    if (auto known = parse_thinking(name); !known) return tl::make_unexpected(known.error());
  return {};
}

// The cell as it acts, for finding cells that could not differ.
GridCell canonical(GridCell cell) {
  if (cell.drafter == "none") {
    cell.tree = "chain";
    cell.rule = "coupled";
    cell.rows = 1;
    cell.depth = 0;
  }
  return cell;
}

bool makes_sense(const GridCell& cell, const GridAxes& axes) {
  const bool has_coupled = std::ranges::find(axes.rules, "coupled") != axes.rules.end();
  if (cell.rule == "rejection" && cell.tree != "chain") return false;
  if (cell.rule == "rejection" && cell.temperature == 0.0 && has_coupled) return false;
  return cell.tree != "chain" || cell.depth == 0 || cell.rows <= cell.depth + 1;
}

void add_product(const GridAxes& axes, const std::string& dataset, std::vector<GridCell>& cells) {
  for (const std::string& thinking : axes.thinking)
    for (const double temperature : axes.temperatures)
      for (const std::string& drafter : axes.drafters)
        for (const std::string& rule : axes.rules)
          for (const std::string& tree : axes.trees)
            for (const int32_t depth : axes.depths)
              for (const int32_t rows : axes.rows) {
                const GridCell cell =
                    canonical({dataset, drafter, depth, rows, temperature, rule, tree, thinking});
                if (makes_sense(cell, axes) && std::ranges::find(cells, cell) == cells.end())
                  cells.push_back(cell);
              }
}

}  // namespace

std::string cell_name(const GridCell& cell) {
  std::string name = fmt::format("{} {}", cell.dataset, cell.drafter);
  if (cell.drafter != "none") {
    name += cell.rows == 0 ? fmt::format(", {} adaptive rows", cell.tree)
                           : fmt::format(", {} {} rows", cell.tree, cell.rows);
    if (cell.depth > 0) name += fmt::format(", depth {}", cell.depth);
    name += ", " + cell.rule;
  }
  name += fmt::format(", T {}", cell.temperature);
  if (cell.thinking != "as-is") name += ", thinking " + cell.thinking;
  return name;
}

Json cell_json(const GridCell& cell) {
  return {{"dataset", cell.dataset}, {"drafter", cell.drafter},         {"depth", cell.depth},
          {"rows", cell.rows},       {"temperature", cell.temperature}, {"rule", cell.rule},
          {"tree", cell.tree},       {"thinking", cell.thinking}};
}

GridCell cell_of_json(const Json& json) {
  return {json.at("dataset"),     json.at("drafter"), json.at("depth"), json.at("rows"),
          json.at("temperature"), json.at("rule"),    json.at("tree"),  json.at("thinking")};
}

Result<std::vector<GridCell>> grid_cells(const std::vector<GridAxes>& grids,
                                         const std::vector<std::string>& datasets) {
  std::vector<GridCell> cells;
  for (const GridAxes& axes : grids)
    if (auto fine = check_axes(axes); !fine) return tl::make_unexpected(fine.error());
  for (const std::string& dataset : datasets)
    for (const GridAxes& axes : grids) add_product(axes, dataset, cells);
  if (cells.empty())
    return fail(ErrorCode::kInvalidArgument,
                "no cell is left: rejection needs chains, and a chain of depth d has at most d + 1 rows");
  return cells;
}

}  // namespace ft::eval
