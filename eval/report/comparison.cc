#include "eval/report/comparison.h"

#include <set>

#include "eval/accept/cell_run.h"
#include "eval/report.h"
#include "eval/report/sections.h"

namespace ft::eval {

namespace {

constexpr uint64_t kSeed = 0;  // of the resampling

Result<CellRun> find_cell(const std::vector<ResultFile>& results, const std::string& part) {
  std::string names;
  for (const ResultFile& result : results) {
    if (result.kind != "accept") continue;
    for (const Json& row : result.rows) {
      auto run = cell_run_of_json(row, "a cell");
      if (!run) return run;
      const std::string name = cell_name(run->cell);
      if (name.find(part) != std::string::npos) return run;
      names += "\n  " + name;
    }
  }
  return fail(ErrorCode::kInvalidArgument, "no cell is named like \"{}\"; there are{}", part, names);
}

bool same_prompts(const CellRun& a, const CellRun& b) {
  if (a.cell.dataset != b.cell.dataset || a.prompts.size() != b.prompts.size()) return false;
  for (size_t i = 0; i < a.prompts.size(); ++i)
    if (a.prompts[i].prompt != b.prompts[i].prompt) return false;
  return true;
}

}  // namespace

Result<void> add_comparison(const std::vector<ResultFile>& results, const std::string& cell,
                            const std::string& other, Document& document) {
  const auto a = find_cell(results, cell);
  if (!a) return tl::make_unexpected(a.error());
  const auto b = find_cell(results, other);
  if (!b) return tl::make_unexpected(b.error());
  if (!same_prompts(*a, *b))
    return fail(ErrorCode::kInvalidArgument, "\"{}\" and \"{}\" did not run the same prompts",
                cell_name(a->cell), cell_name(b->cell));
  std::set<std::string> domains = {"all"};
  for (const PromptRun& prompt : a->prompts)
    if (!prompt.domain.empty()) domains.insert(prompt.domain);
  Table table;
  table.title = fmt::format("Accepted length of \"{}\" over that of \"{}\", paired by prompt",
                            cell_name(a->cell), cell_name(b->cell));
  table.columns = {"domain", "prompts", "by request (95 %)", "by step (95 %)"};
  for (const std::string& domain : domains) {
    const std::vector<AcceptCounts> counts = a->counts_of(domain);
    const LengthRatio ratio = length_ratio(counts, b->counts_of(domain), kSeed);
    table.rows.push_back({words(domain), number("{:.0f}", static_cast<double>(counts.size())),
                          interval_cell(interval_json(ratio.request_weighted)),
                          interval_cell(interval_json(ratio.token_weighted))});
  }
  document.blocks.push_back(std::move(table));
  return {};
}

}  // namespace ft::eval
