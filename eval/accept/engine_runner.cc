#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "core/fnv.h"
#include "eval/accept/cell_runner.h"
#include "eval/accept/depth_limit.h"
#include "eval/generate_command.h"
#include "eval/loop_runner.h"
#include "eval/results/environment.h"

namespace ft::eval {

namespace {

// Seeds of the pass that does not count, apart from all others.
constexpr uint64_t kWarmUpSeed = uint64_t{1} << 40;
constexpr double kShowSeconds = 0.2;

// One completion to run: which prompt, and with which tokens in front.
struct Job {
  size_t prompt = 0;
  std::vector<int32_t> tokens;
};

class EngineRunner final : public CellRunner {
 public:
  EngineRunner(const AcceptOptions& options, Session session, Json model)
      : options_(options), session_(std::move(session)), model_(std::move(model)) {}

  Json model_json() const override { return model_; }
  Json hardware_json() const override { return eval::hardware_json(options_.session.backend); }

  Result<void> prepare(const std::vector<GridCell>& cells) override {
    for (const GridCell& cell : cells)
      if (auto loaded = load(cell); !loaded) return tl::make_unexpected(loaded.error());
    return {};
  }

  Result<CellRun> run(const GridCell& cell, const Advance& advance) override {
    const auto prompts = load(cell);
    if (!prompts) return tl::make_unexpected(prompts.error());
    const std::vector<Job> jobs = jobs_of(**prompts);
    Recorder* recorder = nullptr;  // owned by the loop
    auto runner = open(cell, jobs, &recorder);
    if (!runner) return tl::make_unexpected(runner.error());
    const int32_t seeds = cell.temperature == 0.0 ? 1 : options_.seeds;
    const auto all = static_cast<double>(jobs.size() * static_cast<size_t>(seeds));
    const std::vector<size_t> warm = spread(jobs.size(), options_.warm_up);
    if (options_.warm_up > 0) {
      std::vector<Job> chosen;
      for (const size_t i : warm) chosen.push_back(jobs[i]);
      auto seen = run_jobs(**runner, cell, chosen, options_.seed + kWarmUpSeed, [](double) {});
      if (!seen) return tl::make_unexpected(seen.error());
    }
    recorder->restart();
    CellRun run;
    run.cell = cell;
    run.drafter = (*runner)->loop().info().drafter;
    for (const size_t place : chosen_)
      run.prompts.push_back({static_cast<int64_t>(place), (**prompts)[place].domain, {}, ""});
    std::vector<uint64_t> hashes(run.prompts.size(), kFnvStart);
    for (int32_t pass = 0; pass < seeds; ++pass) {
      const uint64_t seed = options_.seed + static_cast<uint64_t>(pass) * jobs.size();
      auto done = run_jobs(**runner, cell, jobs, seed, [&](double part) {
        advance((pass + part) * static_cast<double>(jobs.size()) / all);
      });
      if (!done) return tl::make_unexpected(done.error());
      run.seconds += done->seconds;
      for (size_t i = 0; i < jobs.size(); ++i) {
        run.prompts[jobs[i].prompt].counts.add(done->completions[i].report);
        hashes[jobs[i].prompt] = fnv1a(done->completions[i].tokens, hashes[jobs[i].prompt]);
      }
    }
    for (size_t i = 0; i < hashes.size(); ++i) run.prompts[i].digest = fmt::format("{:016x}", hashes[i]);
    take(recorder->recording(), run);
    return run;
  }

 private:
  using Prompts = std::vector<Prompt>;

  Result<const Prompts*> load(const GridCell& cell) {
    Prompts& prompts = prompts_[{cell.dataset, cell.thinking}];
    if (prompts.empty()) {
      const auto path = dataset_path(options_, cell.dataset);
      if (!path) return tl::make_unexpected(path.error());
      auto read =
          load_prompts(*path, session_.config(), options_.session.model, *parse_thinking(cell.thinking));
      if (!read) return tl::make_unexpected(read.error());
      prompts = std::move(*read);
    }
    chosen_ = spread(prompts.size(), options_.prompts_max);
    return &prompts;
  }

  std::vector<Job> jobs_of(const Prompts& prompts) const {
    std::vector<Job> jobs;
    for (size_t i = 0; i < chosen_.size(); ++i)
      for (int32_t phase = 0; phase < options_.phases; ++phase) {
        std::vector<int32_t> tokens = prompts[chosen_[i]].tokens;
        tokens.insert(tokens.begin(), static_cast<size_t>(phase), tokens.front());
        jobs.push_back({i, std::move(tokens)});
      }
    return jobs;
  }

  static GenerateOptions generate_options(const AcceptOptions& options, const GridCell& cell) {
    GenerateOptions generate;
    generate.prompts = cell.dataset;
    generate.max_tokens = options.max_tokens;
    generate.temperature = cell.temperature;
    generate.drafter = cell.drafter;
    generate.tree_nodes = cell.rows;
    generate.tree = cell.tree;
    generate.acceptance = cell.rule;
    generate.concurrency = options.concurrency;
    generate.prefix_cache_mib = 0;
    return generate;
  }

  Result<std::unique_ptr<LoopRunner>> open(const GridCell& cell, const std::vector<Job>& jobs,
                                           Recorder** recorder) {
    std::vector<std::vector<int32_t>> tokens;
    for (const Job& job : jobs) tokens.push_back(job.tokens);
    const auto settings = engine_options(generate_options(options_, cell), session_.config(), tokens);
    if (!settings) return tl::make_unexpected(settings.error());
    scheduler::EngineParts parts;
    if (cell.depth > 0)
      parts.wrap_drafter = [depth = cell.depth](std::unique_ptr<draft::Drafter> inner) {
        return std::make_unique<DepthLimit>(std::move(inner), depth);
      };
    parts.wrap_executor = [recorder](std::unique_ptr<scheduler::Executor> inner) {
      auto made = std::make_unique<Recorder>(std::move(inner));
      *recorder = made.get();
      return made;
    };
    return LoopRunner::make(*session_.backend, *session_.checkpoint, *settings, parts);
  }

  Result<RequestRun> run_jobs(LoopRunner& runner, const GridCell& cell, const std::vector<Job>& jobs,
                              uint64_t seed, const Advance& advance) {
    std::vector<std::vector<int32_t>> tokens;
    for (const Job& job : jobs) tokens.push_back(job.tokens);
    GenerateOptions generate = generate_options(options_, cell);
    generate.seed = seed;
    const auto requests = make_requests(generate, runner.loop().options().context, tokens);
    LoopRunner::Run run(runner, requests, options_.concurrency);
    while (!run.done()) {
      if (auto going = run.go_on(kShowSeconds); !going) return tl::make_unexpected(going.error());
      advance(run.share_done());
    }
    return run.result();
  }

  static void take(const Recording& recording, CellRun& run) {
    run.ranks = recording.ranks;
    for (const Calibration& depth : recording.calibration) run.calibration.push_back(depth.figures());
    run.decode = recording.decode;
    run.mixed = recording.mixed;
    run.drafts = recording.drafts;
  }

  const AcceptOptions options_;
  Session session_;
  Json model_;
  std::map<std::pair<std::string, std::string>, Prompts> prompts_;  // by dataset and thinking mode
  std::vector<size_t> chosen_;                                      // of the prompts of the cell
};

}  // namespace

std::string dataset_name(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

Result<std::string> dataset_path(const AcceptOptions& options, const std::string& dataset) {
  for (const std::string& path : options.prompts)
    if (dataset_name(path) == dataset) return path;
  return fail(ErrorCode::kInvalidArgument, "no file of prompts is named {}", dataset);
}

std::vector<size_t> spread(size_t count, int32_t most) {
  const size_t chosen = most == 0 ? count : std::min(count, static_cast<size_t>(most));
  std::vector<size_t> places(chosen);
  for (size_t i = 0; i < chosen; ++i) places[i] = i * count / chosen;
  return places;
}

Result<std::unique_ptr<CellRunner>> make_engine_runner(const AcceptOptions& options) {
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  auto model = model_json(options.session.model, session->config());
  if (!model) return tl::make_unexpected(model.error());
  return std::make_unique<EngineRunner>(options, std::move(*session), std::move(*model));
}

}  // namespace ft::eval
