#include "eval/accept/journal.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/file.h"
#include "eval/report_file.h"
#include "eval/results/environment.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "foretoken-accept-journal-1";
constexpr int64_t kMaxJournalBytes = int64_t{1} << 30;

// The lines that end with a newline: the writer may have been stopped inside the last one.
std::vector<std::string> whole_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return lines;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

Result<Journal> Journal::open(const std::string& folder, const Json& configuration, const Json& model,
                              bool fresh) {
  Journal journal;
  journal.path_ = (fs::path(folder) / "accept.journal.jsonl").string();
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", folder, error.message());
  std::vector<std::string> lines;
  if (!fresh && fs::exists(journal.path_)) {
    const auto text = read_file(journal.path_, kMaxJournalBytes);
    if (!text) return tl::make_unexpected(text.error());
    lines = whole_lines(*text);
  }
  if (lines.empty()) {
    journal.started_ = utc_now();
    const Json head = {{"format", kFormat},
                       {"started", journal.started_},
                       {"configuration", configuration},
                       {"model", model}};
    if (auto written = write_report(journal.path_, head.dump() + "\n"); !written)
      return tl::make_unexpected(written.error());
    return journal;
  }
  const Json head = Json::parse(lines[0], nullptr, false);
  if (!head.is_object() || head.value("format", Json()) != kFormat)
    return fail(ErrorCode::kInvalidFile, "{}: not a journal of format {}", journal.path_, kFormat);
  if (head.value("configuration", Json()) != configuration || head.value("model", Json()) != model)
    return fail(ErrorCode::kInvalidArgument,
                "{} belongs to another experiment: name another folder, or begin anew with --fresh",
                journal.path_);
  journal.started_ = head.value("started", "");
  std::string kept = lines[0] + "\n";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string where = fmt::format("{}:{}", journal.path_, i + 1);
    auto run = cell_run_of_json(Json::parse(lines[i], nullptr, false), where);
    if (!run) return tl::make_unexpected(run.error());
    journal.runs_.push_back(std::move(*run));
    kept += lines[i] + "\n";
  }
  // Without a line that was cut, which the next one would continue.
  if (auto written = write_report(journal.path_, kept); !written) return tl::make_unexpected(written.error());
  return journal;
}

const CellRun* Journal::find(const GridCell& cell) const {
  const auto found = std::ranges::find_if(runs_, [&](const CellRun& run) { return run.cell == cell; });
  return found == runs_.end() ? nullptr : &*found;
}

Result<void> Journal::add(const CellRun& run) {
  std::ofstream out(path_, std::ios::app | std::ios::binary);
  out << cell_run_json(run).dump() << '\n';
  out.close();
  if (!out) return fail(ErrorCode::kNotFound, "{}: cannot be written", path_);
  runs_.push_back(run);
  return {};
}

}  // namespace ft::eval
