// Runs the cells of an acceptance grid, one at a time: on a checkpoint in this process, or on a server.
#pragma once

#include <functional>
#include <memory>

#include "eval/accept/cell_run.h"
#include "eval/accept/options.h"

namespace ft::eval {

class CellRunner {
 public:
  // How far the cell is, of 1.
  using Advance = std::function<void(double done)>;

  virtual ~CellRunner() = default;
  virtual Json model_json() const = 0;
  virtual Json hardware_json() const = 0;
  // Reads the prompts of all cells, so that a file that is no prompts is named before anything has run.
  virtual Result<void> prepare(const std::vector<GridCell>& cells) = 0;
  // The whole cell. The same cell gives the same run but for what depends on the speed of the machine.
  virtual Result<CellRun> run(const GridCell& cell, const Advance& advance) = 0;
};

// Loads the checkpoint, not the prompts.
Result<std::unique_ptr<CellRunner>> make_engine_runner(const AcceptOptions& options);
// Asks the server what it is. Axes that only our own server knows are refused for another: drafters other
// than "auto", depths, fixed rows, and rules other than coupled.
Result<std::unique_ptr<CellRunner>> make_server_runner(const AcceptOptions& options);

// "nano" of "/data/nano.jsonl"; the file of that name among options.prompts.
std::string dataset_name(const std::string& path);
Result<std::string> dataset_path(const AcceptOptions& options, const std::string& dataset);

// The places of at most `most` of `count` items, evenly spread; all where most is 0.
std::vector<size_t> spread(size_t count, int32_t most);

}  // namespace ft::eval
