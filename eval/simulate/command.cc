#include "eval/simulate/command.h"

#include <algorithm>
#include <iterator>
#include <random>

#include "eval/load/arrivals.h"
#include "eval/report/write.h"
#include "eval/results/environment.h"
#include "eval/results/progress.h"
#include "eval/simulate/studies.h"

namespace ft::eval {

namespace {

// One level: its requests, and what a real server made of the same ones.
struct Level {
  std::string name;
  double rate = 0.0;
  std::vector<VirtualRequest> requests;
  Json measured;  // figures of `load`; null = not measured
};

Result<std::vector<CellRun>> recorded_runs(const ResultFile& result, const std::string& path) {
  if (result.kind != "accept")
    return fail(ErrorCode::kInvalidFile, "{}: a result of {}, expected one of accept", path, result.kind);
  std::vector<CellRun> runs;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    auto run = cell_run_of_json(result.rows[i], fmt::format("{}: rows[{}]", path, i));
    if (!run) return tl::make_unexpected(run.error());
    runs.push_back(std::move(*run));
  }
  return runs;
}

Result<const CellRun*> chosen_cell(const std::vector<CellRun>& runs, const std::string& part) {
  std::string names;
  for (const CellRun& run : runs) {
    const std::string name = cell_name(run.cell);
    if (name.find(part) != std::string::npos && !run.ranks.empty()) return &run;
    names += "\n  " + name;
  }
  return fail(ErrorCode::kInvalidArgument, "no cell that drafts is named like \"{}\"; there are{}", part,
              names);
}

Result<Deployment> stated_deployment(const SimulateOptions& options) {
  const auto arm = parse_study_arm(options.stated);
  if (!arm) return tl::make_unexpected(arm.error());
  Deployment deployment = paper_deployment({}, *arm);
  deployment.replica.requests_max = options.requests_max;
  deployment.replica.tokens_max = options.tokens_max;
  deployment.replica.prefill_chunk = options.prefill_chunk;
  deployment.replicas = options.replicas;
  return deployment;
}

Result<Deployment> recorded_deployment(const SimulateOptions& options) {
  std::vector<CellRun> runs;
  std::string fingerprint;
  for (const std::string& path : options.recorded) {
    const auto result = read_result(path);
    if (!result) return tl::make_unexpected(result.error());
    auto more = recorded_runs(*result, path);
    if (!more) return tl::make_unexpected(more.error());
    const std::string model = result->model.value("fingerprint", "recorded");
    if (!fingerprint.empty() && model != fingerprint)
      return fail(ErrorCode::kInvalidArgument, "{}: of the model {}, but {} is of {}", path, model,
                  options.recorded.front(), fingerprint);
    fingerprint = model;
    std::ranges::move(*more, std::back_inserter(runs));
  }
  const auto cell = chosen_cell(runs, options.cell);
  if (!cell) return tl::make_unexpected(cell.error());
  auto acceptance = AcceptanceSource::of_run(**cell);
  if (!acceptance) return tl::make_unexpected(acceptance.error());
  auto costs = StepCosts::of_runs(runs);
  if (!costs) return tl::make_unexpected(costs.error());
  costs->add_overhead(1e-3 * options.overhead_ms);
  VirtualModel model;
  model.name = fingerprint;
  model.depth = {acceptance->depth_max(), acceptance->depth_max()};
  ReplicaOptions replica;
  replica.requests_max = options.requests_max;
  replica.tokens_max = options.tokens_max;
  replica.prefill_chunk = options.prefill_chunk;
  replica.tree_nodes = options.tree_nodes;
  replica.shape = (*cell)->cell.tree == "chain" ? draft::TreeShape::kChain : draft::TreeShape::kBestFirst;
  return Deployment{model, std::move(*costs), std::move(*acceptance), replica, options.replicas};
}

// Domains as the recorded run mixes them.
void draw_domains(const AcceptanceSource& acceptance, uint64_t seed, std::vector<VirtualRequest>& requests) {
  std::mt19937_64 random(seed);
  for (VirtualRequest& request : requests)
    request.domain = acceptance.domain_at(static_cast<double>(random() >> 11) * 0x1p-53);
}

Result<Level> replayed(const SimulateOptions& options, int32_t index, const std::string& name,
                       Json measured) {
  const auto trace = read_trace(options.replay, index);
  if (!trace) return tl::make_unexpected(trace.error());
  Level level{name, 0.0, {}, std::move(measured)};
  for (const TraceRequest& request : *trace)
    level.requests.push_back(
        {request.at, request.prompt_tokens > 0 ? request.prompt_tokens : options.prompt_tokens,
         request.completion_tokens > 0 ? request.completion_tokens : options.completion_tokens, 0});
  level.rate = static_cast<double>(trace->size()) / std::max(1e-9, trace->back().at);
  return level;
}

Result<std::vector<Level>> replayed_levels(const SimulateOptions& options) {
  std::vector<Level> levels;
  const auto result = read_result(options.replay);
  if (!result || result->kind != "load") {
    auto level = replayed(options, 0, "replay", Json());
    if (!level) return tl::make_unexpected(level.error());
    levels.push_back(std::move(*level));
    return levels;
  }
  const Json& measured = result->figures["levels"];
  for (size_t i = 0; i < measured.size(); ++i) {
    auto level = replayed(options, static_cast<int32_t>(i), measured[i].value("name", ""), measured[i]);
    if (!level) return tl::make_unexpected(level.error());
    levels.push_back(std::move(*level));
  }
  return levels;
}

Result<std::vector<Level>> levels_of(const SimulateOptions& options) {
  if (!options.replay.empty()) return replayed_levels(options);
  std::vector<Level> levels;
  for (const double rate : options.rates) {
    const auto times =
        make_arrivals(options.arrivals, rate, static_cast<size_t>(options.requests), options.seed);
    if (!times) return tl::make_unexpected(times.error());
    Level level{fmt::format("{} {}/s", options.arrivals, rate), rate, {}, Json()};
    for (const double at : *times)
      level.requests.push_back({at, options.prompt_tokens, options.completion_tokens, 0});
    levels.push_back(std::move(level));
  }
  if (levels.empty())
    return fail(ErrorCode::kInvalidArgument, "nothing to simulate: name --preset, --rates or --replay");
  return levels;
}

double deviation(const Json& simulated, const Json& measured) {
  return measured.get<double>() > 0.0 ? simulated.get<double>() / measured.get<double>() - 1.0 : 0.0;
}

Json configuration_json(const SimulateOptions& options) {
  return {{"stated", options.stated.empty() ? Json() : inputs_json({})},
          {"stated_arm", options.stated},
          {"recorded", options.recorded},
          {"overhead_ms", options.overhead_ms},
          {"cell", options.cell},
          {"replicas", options.replicas},
          {"requests_max", options.requests_max},
          {"tokens_max", options.tokens_max},
          {"prefill_chunk", options.prefill_chunk},
          {"tree_nodes", options.tree_nodes},
          {"arrivals", options.arrivals},
          {"rates", options.rates},
          {"requests", options.requests},
          {"prompt_tokens", options.prompt_tokens},
          {"completion_tokens", options.completion_tokens},
          {"replay", options.replay}};
}

Result<ResultFile> run_deployment(const SimulateOptions& options, Progress& progress) {
  if (options.recorded.empty() == options.stated.empty())
    return fail(ErrorCode::kInvalidArgument,
                "a deployment of one's own needs --recorded, a result of accept, or --stated; not both");
  const auto deployment = options.stated.empty() ? recorded_deployment(options) : stated_deployment(options);
  if (!deployment) return tl::make_unexpected(deployment.error());
  auto levels = levels_of(options);
  if (!levels) return tl::make_unexpected(levels.error());
  ResultFile result;
  result.kind = "simulate";
  result.seeds = {options.seed};
  result.configuration = configuration_json(options);
  Json points = Json::array();
  for (size_t i = 0; i < levels->size(); ++i) {
    Level& level = (*levels)[i];
    draw_domains(deployment->acceptance, options.seed, level.requests);
    const auto requests = run_open_loop(*deployment, level.requests, options.seed, [&](double done) {
      progress.show(level.name, (static_cast<double>(i) + done) / static_cast<double>(levels->size()));
    });
    Json point = {{"arm", "deployment"}, {"point", level.name}, {"rate", level.rate}};
    point["simulated"] = load_figures_json(requests, {});
    if (!level.measured.is_null()) {
      point["measured"] = level.measured;
      point["throughput_deviation"] =
          deviation(point["simulated"]["tokens_per_s"], level.measured["tokens_per_s"]);
    }
    progress.say(fmt::format("{}: {:.1f} tokens/s, TPOT {:.2f} ms", level.name,
                             point["simulated"]["tokens_per_s"].get<double>(),
                             point["simulated"]["tpot_ms"]["mean"].get<double>()));
    result.rows.push_back(point);
    points.push_back(std::move(point));
  }
  result.figures["arms"] = Json::array({{{"name", "deployment"}, {"points", std::move(points)}}});
  return result;
}

}  // namespace

Result<ResultFile> run_simulation(const SimulateOptions& options, std::FILE* progress_out) {
  Progress progress(progress_out);
  auto result = options.preset.empty()
                    ? run_deployment(options, progress)
                    : run_study({options.preset, options.study_steps, options.seed},
                                [&](const std::string& label, double done) { progress.show(label, done); });
  if (!result) return result;
  result->command = options.command;
  result->started = utc_now();
  result->code = code_json();
  result->hardware = hardware_json("");
  return result;
}

Result<void> run_simulate(const SimulateOptions& options, std::FILE* out) {
  const auto result = run_simulation(options, stderr);
  if (!result) return tl::make_unexpected(result.error());
  return write_result(*result, options.out, "simulate", out);
}

}  // namespace ft::eval
