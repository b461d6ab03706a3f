#include "eval/accept/grid.h"

#include <gtest/gtest.h>

#include <set>

namespace ft::eval {
namespace {

std::vector<std::string> names(const std::vector<GridAxes>& grids,
                               const std::vector<std::string>& datasets = {"d"}) {
  const auto cells = grid_cells(grids, datasets);
  EXPECT_TRUE(cells) << cells.error().message;
  std::vector<std::string> list;
  if (cells)
    for (const GridCell& cell : *cells) list.push_back(cell_name(cell));
  return list;
}

TEST(AcceptGrid, IsTheProductOfItsAxes) {
  const GridAxes axes = {.drafters = {"auto", "ngram"},
                         .depths = {0, 5},
                         .rows = {4, 6},
                         .temperatures = {0.0, 1.0},
                         .rules = {"coupled"},
                         .trees = {"best-first"},
                         .thinking = {"on", "off"}};
  const std::vector<std::string> list = names({axes}, {"a", "b"});
  EXPECT_EQ(list.size(), 2u * 2u * 2u * 2u * 2u * 2u);
  EXPECT_EQ(std::set<std::string>(list.begin(), list.end()).size(), list.size());
  EXPECT_EQ(list[0], "a auto, best-first 4 rows, coupled, T 0, thinking on");
}

TEST(AcceptGrid, LeavesOutCellsThatCouldNotDiffer) {
  // Rejection draws chains, and at temperature 0 does what coupled does.
  const GridAxes rules = {.rows = {6}, .temperatures = {0.0, 1.0}};
  EXPECT_EQ(names({rules}),
            (std::vector<std::string>{
                "d auto, chain 6 rows, coupled, T 0", "d auto, best-first 6 rows, coupled, T 0",
                "d auto, chain 6 rows, rejection, T 1", "d auto, chain 6 rows, coupled, T 1",
                "d auto, best-first 6 rows, coupled, T 1"}));
  // A chain of three tokens has four rows.
  const GridAxes deep = {
      .depths = {3}, .rows = {4, 5}, .temperatures = {1.0}, .rules = {"coupled"}, .trees = {"chain"}};
  EXPECT_EQ(names({deep}), (std::vector<std::string>{"d auto, chain 4 rows, depth 3, coupled, T 1"}));
  // Nothing drafts: one cell, however many axes.
  const GridAxes plain = {.drafters = {"none"}, .temperatures = {1.0}};
  EXPECT_EQ(names({plain}), (std::vector<std::string>{"d none, T 1"}));
  // The same cell of two grids.
  EXPECT_EQ(names({rules, rules}).size(), 5u);
}

TEST(AcceptGrid, NamesWhatNoAxisKnows) {
  GridAxes axes;
  axes.trees = {"bush"};
  EXPECT_EQ(grid_cells({axes}, {"d"}).error().message, "tree is \"bush\", expected best-first or chain");
  axes = {};
  axes.thinking = {"maybe"};
  EXPECT_EQ(grid_cells({axes}, {"d"}).error().message, "thinking is \"maybe\", expected as-is, on or off");
  axes = {};
  axes.rules = {"rejection"};
  axes.trees = {"best-first"};
  EXPECT_FALSE(grid_cells({axes}, {"d"}));
}

TEST(AcceptGrid, CellsComeBackFromJson) {
  const GridCell cell{"set", "dspark", 3, 6, 0.7, "coupled", "chain", "on"};
  EXPECT_EQ(cell_of_json(cell_json(cell)), cell);
}

}  // namespace
}  // namespace ft::eval
