// What one cell of an acceptance grid observed, as it stands in a result and in the journal of an unfinished
// grid.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eval/accept/figures.h"
#include "eval/accept/grid.h"
#include "eval/accept/recorder.h"

namespace ft::eval {

// One prompt of a cell.
struct PromptRun {
  int64_t prompt = 0;  // its place in the dataset
  std::string domain;
  AcceptCounts counts;
  // Hash of the tokens of all its completions: equal ones said the same. "" where the tokens are not known.
  std::string digest;
};

struct CellRun {
  GridCell cell;
  std::string drafter;  // as the engine names it: what "auto" has become
  std::vector<PromptRun> prompts;
  std::vector<DepthRanks> ranks;
  std::vector<CalibrationFigures> calibration;
  std::map<int32_t, StepSums> decode;
  StepSums mixed;
  std::map<int32_t, DraftSums> drafts;
  double seconds = 0.0;  // wall clock of what was counted

  // The counts of the prompts of one domain, or of all for "all".
  std::vector<AcceptCounts> counts_of(const std::string& domain) const;
};

// {"cell", "drafter", "prompts": [...], "ranks": [...], "calibration": [...], "steps": {...}}. All that
// depends on the speed of the machine is inside "steps".
Json cell_run_json(const CellRun& run);
// kInvalidFile that begins with `where`.
Result<CellRun> cell_run_of_json(const Json& json, const std::string& where);

// The figures of one cell and one domain as a result has them:
// {"cell", "name", "domain", "requests", "steps", "length_request_weighted": {"value","low","high"}, ...}.
// `baseline`: what it is compared with, prompt by prompt; null: it is the baseline itself.
Json cell_figures_json(const CellRun& run, const std::string& domain, const CellRun* baseline, uint64_t seed);

// Figures of every cell and domain, each compared with the first cell of its dataset, temperature and
// thinking mode.
Json grid_figures_json(const std::vector<CellRun>& runs, uint64_t seed);

// kInternal, naming prompt and cells, if two coupled cells of the same prompts, temperature and seeds
// produced different tokens.
Result<void> check_same_tokens(const std::vector<CellRun>& runs);

}  // namespace ft::eval
