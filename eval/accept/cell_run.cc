#include "eval/accept/cell_run.h"

#include <algorithm>
#include <set>

#include "eval/report.h"

namespace ft::eval {

namespace {

template <size_t N>
Json trimmed(const std::array<int64_t, N>& counts) {
  size_t size = N;
  while (size > 0 && counts[size - 1] == 0) --size;
  return std::vector<int64_t>(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(size));
}

template <size_t N>
void fill(const Json& json, std::array<int64_t, N>& counts) {
  for (size_t i = 0; i < std::min(N, json.size()); ++i) counts[i] = json[i];
}

Json prompt_json(const PromptRun& run) {
  const AcceptCounts& counts = run.counts;
  return {{"prompt", run.prompt},
          {"domain", run.domain},
          {"requests", counts.requests},
          {"steps", counts.steps},
          {"emitted", counts.emitted},
          {"drafted", counts.drafted},
          {"length_sum", counts.length_sum},
          {"drafted_at_depth", trimmed(counts.drafted_at_depth)},
          {"accepted_at_depth", trimmed(counts.accepted_at_depth)},
          {"histogram", trimmed(counts.histogram)},
          {"digest", run.digest}};
}

PromptRun prompt_of_json(const Json& json) {
  PromptRun run;
  run.prompt = json.at("prompt");
  run.domain = json.at("domain");
  run.counts.requests = json.at("requests");
  run.counts.steps = json.at("steps");
  run.counts.emitted = json.at("emitted");
  run.counts.drafted = json.at("drafted");
  run.counts.length_sum = json.at("length_sum");
  fill(json.at("drafted_at_depth"), run.counts.drafted_at_depth);
  fill(json.at("accepted_at_depth"), run.counts.accepted_at_depth);
  fill(json.at("histogram"), run.counts.histogram);
  run.digest = json.at("digest");
  return run;
}

Json sums_json(const StepSums& sums) {
  return {{"steps", sums.steps},
          {"rows", sums.rows},
          {"prompt_rows", sums.prompt_rows},
          {"experts", sums.experts},
          {"verify_s", sums.verify_seconds},
          {"commit_s", sums.commit_seconds}};
}

StepSums sums_of_json(const Json& json) {
  return {json.at("steps"),   json.at("rows"),     json.at("prompt_rows"),
          json.at("experts"), json.at("verify_s"), json.at("commit_s")};
}

Json calibration_json(const CalibrationFigures& figures) {
  Json bins = Json::array();
  for (const ReliabilityBin& bin : figures.bins)
    bins.push_back({{"count", bin.count}, {"predicted", bin.predicted}, {"hits", bin.hits}});
  return {{"count", figures.count}, {"ece", figures.ece}, {"noise", figures.noise},
          {"brier", figures.brier}, {"auc", figures.auc}, {"bins", bins}};
}

CalibrationFigures calibration_of_json(const Json& json) {
  CalibrationFigures figures{json.at("count"), json.at("ece"), json.at("noise"),
                             json.at("brier"), json.at("auc"), {}};
  for (const Json& bin : json.at("bins"))
    figures.bins.push_back({bin.at("count"), bin.at("predicted"), bin.at("hits")});
  return figures;
}

Json intervals_json(const std::vector<Interval>& intervals) {
  Json list = Json::array();
  for (const Interval& interval : intervals) list.push_back(interval_json(interval));
  return list;
}

StepSums all_decode(const CellRun& run) {
  StepSums all;
  for (const auto& [rows, sums] : run.decode) all.add(sums);
  return all;
}

double per(double value, int64_t count) {
  return count == 0 ? 0.0 : value / static_cast<double>(count);
}

// Means over the engine's decode steps, which several requests share.
Json step_figures_json(const CellRun& run) {
  const StepSums decode = all_decode(run);
  double draft_seconds = 0.0;
  int64_t drafts = 0;
  for (const auto& [requests, sums] : run.drafts) {
    draft_seconds += sums.seconds;
    drafts += sums.calls;
  }
  return {{"decode_steps", decode.steps},
          {"rows", per(static_cast<double>(decode.rows), decode.steps)},
          {"distinct_experts", per(static_cast<double>(decode.experts), decode.steps)},
          {"draft_ms", 1e3 * per(draft_seconds, drafts)},
          {"verify_ms", 1e3 * per(decode.verify_seconds, decode.steps)},
          {"commit_ms", 1e3 * per(decode.commit_seconds, decode.steps)}};
}

Json ranks_json(const std::vector<DepthRanks>& ranks) {
  Json list = Json::array();
  for (const DepthRanks& depth : ranks) list.push_back({{"reached", depth.reached}, {"hits", depth.hits}});
  return list;
}

std::set<std::string> domains_of(const CellRun& run) {
  std::set<std::string> domains;
  for (const PromptRun& prompt : run.prompts)
    if (!prompt.domain.empty()) domains.insert(prompt.domain);
  return domains;
}

bool comparable(const GridCell& a, const GridCell& b) {
  return a.dataset == b.dataset && a.temperature == b.temperature && a.thinking == b.thinking;
}

}  // namespace

std::vector<AcceptCounts> CellRun::counts_of(const std::string& domain) const {
  std::vector<AcceptCounts> counts;
  for (const PromptRun& prompt : prompts)
    if (domain == "all" || prompt.domain == domain) counts.push_back(prompt.counts);
  return counts;
}

Json cell_run_json(const CellRun& run) {
  Json json;
  json["cell"] = cell_json(run.cell);
  json["drafter"] = run.drafter;
  json["prompts"] = Json::array();
  for (const PromptRun& prompt : run.prompts) json["prompts"].push_back(prompt_json(prompt));
  json["ranks"] = ranks_json(run.ranks);
  json["calibration"] = Json::array();
  for (const CalibrationFigures& figures : run.calibration)
    json["calibration"].push_back(calibration_json(figures));
  Json decode = Json::array();
  for (const auto& [rows, sums] : run.decode) decode.push_back(sums_json(sums));
  Json drafts = Json::array();
  for (const auto& [requests, sums] : run.drafts)
    drafts.push_back({{"requests", requests}, {"calls", sums.calls}, {"draft_s", sums.seconds}});
  json["steps"] = {{"decode", decode},
                   {"with_prompt_rows", sums_json(run.mixed)},
                   {"drafts", drafts},
                   {"wall_s", run.seconds}};
  return json;
}

Result<CellRun> cell_run_of_json(const Json& json, const std::string& where) {
  CellRun run;
  const auto read = read_json(where, [&] {
    run.cell = cell_of_json(json.at("cell"));
    run.drafter = json.at("drafter");
    for (const Json& prompt : json.at("prompts")) run.prompts.push_back(prompt_of_json(prompt));
    for (const Json& depth : json.at("ranks")) {
      DepthRanks ranks;
      ranks.reached = depth.at("reached");
      fill(depth.at("hits"), ranks.hits);
      run.ranks.push_back(ranks);
    }
    for (const Json& depth : json.at("calibration")) run.calibration.push_back(calibration_of_json(depth));
    const Json& steps = json.at("steps");
    for (const Json& sums : steps.at("decode")) {
      const StepSums step = sums_of_json(sums);
      run.decode[static_cast<int32_t>(per(static_cast<double>(step.rows), step.steps))] = step;
    }
    run.mixed = sums_of_json(steps.at("with_prompt_rows"));
    for (const Json& sums : steps.at("drafts"))
      run.drafts[sums.at("requests").get<int32_t>()] = {sums.at("calls"), sums.at("draft_s")};
    run.seconds = steps.at("wall_s");
  });
  if (!read) return tl::make_unexpected(read.error());
  return run;
}

Json cell_figures_json(const CellRun& run, const std::string& domain, const CellRun* baseline,
                       uint64_t seed) {
  const std::vector<AcceptCounts> counts = run.counts_of(domain);
  const AcceptFigures figures = accept_figures(counts, seed);
  Json json = {{"cell", cell_json(run.cell)},
               {"name", cell_name(run.cell)},
               {"drafter", run.drafter},
               {"domain", domain},
               {"requests", figures.requests},
               {"steps", figures.steps},
               {"length_request_weighted", interval_json(figures.request_weighted)},
               {"length_token_weighted", interval_json(figures.token_weighted)},
               {"rows_per_step", figures.rows_per_step},
               {"accepted_per_row", interval_json(figures.accepted_per_row)},
               {"unconditional", intervals_json(figures.unconditional)},
               {"conditional", intervals_json(figures.conditional)},
               {"histogram", figures.histogram}};
  if (baseline != nullptr) {
    const LengthRatio ratio = length_ratio(counts, baseline->counts_of(domain), seed);
    json["baseline"] = cell_name(baseline->cell);
    json["ratio_request_weighted"] = interval_json(ratio.request_weighted);
    json["ratio_token_weighted"] = interval_json(ratio.token_weighted);
  }
  if (domain != "all") return json;
  json["ranks"] = ranks_json(run.ranks);
  Json calibration = Json::array();
  for (const CalibrationFigures& depth : run.calibration) calibration.push_back(calibration_json(depth));
  json["calibration"] = std::move(calibration);
  if (!run.decode.empty()) json["per_step"] = step_figures_json(run);
  return json;
}

Json grid_figures_json(const std::vector<CellRun>& runs, uint64_t seed) {
  Json cells = Json::array();
  for (const CellRun& run : runs) {
    const auto first =
        std::ranges::find_if(runs, [&](const CellRun& other) { return comparable(run.cell, other.cell); });
    const CellRun* baseline = &*first == &run ? nullptr : &*first;
    cells.push_back(cell_figures_json(run, "all", baseline, seed));
    for (const std::string& domain : domains_of(run))
      cells.push_back(cell_figures_json(run, domain, baseline, seed));
  }
  return {{"cells", std::move(cells)}};
}

Result<void> check_same_tokens(const std::vector<CellRun>& runs) {
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].cell.rule != "coupled") continue;
    for (size_t k = 0; k < i; ++k) {
      if (runs[k].cell.rule != "coupled" || !comparable(runs[i].cell, runs[k].cell)) continue;
      for (size_t p = 0; p < runs[i].prompts.size(); ++p)
        if (runs[i].prompts[p].digest != runs[k].prompts[p].digest)
          return fail(ErrorCode::kInternal, "prompt {}: the tokens of \"{}\" and of \"{}\" differ",
                      runs[i].prompts[p].prompt, cell_name(runs[i].cell), cell_name(runs[k].cell));
      break;  // equal to one is equal to all
    }
  }
  return {};
}

}  // namespace ft::eval
