// The finished cells of a grid, one line of JSON each, so that an interrupted grid goes on where it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/accept/cell_run.h"

namespace ft::eval {

class Journal {
 public:
  // Opens FOLDER/accept.journal.jsonl, making both where they are not there. A journal of the same
  // `configuration` and model is continued; a last line that was cut is dropped. kInvalidArgument, naming the
  // file, for a journal of another experiment, unless `fresh`, which begins anew. kInvalidFile for a line
  // that is no cell.
  static Result<Journal> open(const std::string& folder, const Json& configuration, const Json& model,
                              bool fresh);

  // When the experiment was begun, by this run or by the one that was interrupted.
  const std::string& started() const { return started_; }
  // The run of a cell that is finished; null where it is not.
  const CellRun* find(const GridCell& cell) const;
  // Appends a cell; it is on the disk when this returns.
  Result<void> add(const CellRun& run);

 private:
  std::string path_;
  std::string started_;
  std::vector<CellRun> runs_;
};

}  // namespace ft::eval
