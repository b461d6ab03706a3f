#include "eval/accept/command.h"

#include <filesystem>

#include "eval/accept/journal.h"
#include "eval/report/write.h"
#include "eval/results/environment.h"
#include "eval/results/progress.h"

namespace ft::eval {

namespace {

Result<void> check_options(const AcceptOptions& options) {
  if (options.seeds < 1 || options.phases < 1)
    return fail(ErrorCode::kInvalidArgument, "seeds {}, phases {}: expected at least 1 of each",
                options.seeds, options.phases);
  if (options.prompts.empty()) return fail(ErrorCode::kInvalidArgument, "no file of prompts is named");
  for (size_t i = 0; i < options.prompts.size(); ++i)
    for (size_t k = 0; k < i; ++k)
      if (dataset_name(options.prompts[i]) == dataset_name(options.prompts[k]))
        return fail(ErrorCode::kInvalidArgument, "two files of prompts are named {}",
                    dataset_name(options.prompts[i]));
  return {};
}

// Cells one after the other; those of the journal are not run again.
Result<std::vector<CellRun>> run_cells(const std::vector<GridCell>& cells, CellRunner& runner,
                                       Journal& journal, Progress& progress) {
  const auto count = static_cast<double>(cells.size());
  size_t kept = 0;
  for (const GridCell& cell : cells) kept += journal.find(cell) != nullptr ? 1 : 0;
  if (kept > 0) progress.say(fmt::format("{} of {} cells were finished before", kept, cells.size()));
  size_t done = kept;
  progress.resumed(static_cast<double>(done) / count);
  std::vector<CellRun> runs;
  for (const GridCell& cell : cells) {
    if (const CellRun* finished = journal.find(cell)) {
      runs.push_back(*finished);
      continue;
    }
    const std::string label = fmt::format("cell {} of {}: {}", done + 1, cells.size(), cell_name(cell));
    progress.show(label, static_cast<double>(done) / count);
    auto run = runner.run(
        cell, [&](double part) { progress.show(label, (static_cast<double>(done) + part) / count); });
    if (!run) return tl::make_unexpected(run.error());
    if (auto added = journal.add(*run); !added) return tl::make_unexpected(added.error());
    const AcceptFigures figures = accept_figures(run->counts_of("all"), 0);
    progress.say(fmt::format("{}: accepted length {:.3f} by step, {:.2f} rows, {:.1f} s", label,
                             figures.token_weighted.value, figures.rows_per_step, run->seconds));
    runs.push_back(std::move(*run));
    ++done;
  }
  return runs;
}

}  // namespace

Result<ResultFile> run_accept_grid(const AcceptOptions& options, std::FILE* progress_out) {
  if (auto fine = check_options(options); !fine) return tl::make_unexpected(fine.error());
  std::vector<std::string> datasets;
  for (const std::string& path : options.prompts) datasets.push_back(dataset_name(path));
  const auto cells = grid_cells(options.grids, datasets);
  if (!cells) return tl::make_unexpected(cells.error());
  auto runner = options.url.empty() ? make_engine_runner(options) : make_server_runner(options);
  if (!runner) return tl::make_unexpected(runner.error());
  if (auto ready = (*runner)->prepare(*cells); !ready) return tl::make_unexpected(ready.error());
  const Json configuration = accept_configuration(options);
  auto journal = Journal::open(options.out, configuration, (*runner)->model_json(), options.fresh);
  if (!journal) return tl::make_unexpected(journal.error());
  Progress progress(progress_out);
  const auto runs = run_cells(*cells, **runner, *journal, progress);
  if (!runs) return tl::make_unexpected(runs.error());
  if (auto same = check_same_tokens(*runs); !same) return tl::make_unexpected(same.error());
  ResultFile result;
  result.kind = "accept";
  result.command = options.command;
  result.started = journal->started();
  result.code = code_json();
  result.hardware = (*runner)->hardware_json();
  result.model = (*runner)->model_json();
  for (int32_t i = 0; i < options.seeds; ++i) result.seeds.push_back(options.seed + static_cast<uint64_t>(i));
  result.configuration = configuration;
  for (const CellRun& run : *runs) result.rows.push_back(cell_run_json(run));
  result.figures = grid_figures_json(*runs, options.seed);
  return result;
}

Result<void> run_accept(const AcceptOptions& options, std::FILE* out) {
  const auto result = run_accept_grid(options, stderr);
  if (!result) return tl::make_unexpected(result.error());
  return write_result(*result, options.out, "accept", out);
}

}  // namespace ft::eval
