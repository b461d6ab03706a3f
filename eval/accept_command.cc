#include "eval/accept_command.h"

#include <cstdio>
#include <map>
#include <set>

#include "eval/generate_command.h"
#include "eval/loop_runner.h"
#include "eval/report_file.h"

namespace ft::eval {

namespace {

constexpr int32_t kDefaultBlock = 5;
// Seeds of the pass that does not count, apart from all others.
constexpr uint64_t kWarmUpSeed = uint64_t{1} << 40;

using Tokens = std::vector<std::vector<int32_t>>;

// What one arm did: per temperature, the counts of every prompt, and its completions.
struct ArmRun {
  std::vector<std::vector<AcceptCounts>> counts;
  std::vector<Tokens> tokens;
  std::map<int, int64_t> steps;       // so far, by temperature bucket
  std::map<int, int64_t> warm_after;  // of these, before predictions counted
};

class Experiment {
 public:
  Experiment(const AcceptOptions& options, Session session, std::vector<Prompt> prompts)
      : options_(options), session_(std::move(session)), prompts_(std::move(prompts)) {
    for (const Prompt& prompt : prompts_) prompt_tokens_.push_back(prompt.tokens);
  }

  Result<ArmRun> run(const AcceptArm& arm, AcceptReport& report) {
    GenerateOptions generate;
    generate.prompts = options_.prompts;
    generate.max_tokens = options_.max_tokens;
    generate.drafter = options_.drafter;
    generate.concurrency = options_.concurrency;
    generate.prefix_cache_mib = 0;
    generate.tree_nodes = arm.rows;
    auto settings = engine_options(generate, session_.config(), prompt_tokens_);
    if (!settings) return tl::make_unexpected(settings.error());
    settings->acceptance = arm.acceptance;
    settings->tree_shape = arm.shape;
    auto runner = LoopRunner::make(*session_.backend, *session_.checkpoint, *settings);
    if (!runner) return tl::make_unexpected(runner.error());
    ArmRun done;
    for (double temperature : options_.temperatures) {
      generate.temperature = temperature;
      auto counts = run_temperature(**runner, arm, generate, done);
      if (!counts) return tl::make_unexpected(counts.error());
    }
    report.drafter = (*runner)->loop().info().drafter;
    add_calibration(arm, (*runner)->loop().scheduler().speculation().acceptance(), done, report);
    return done;
  }

  const std::vector<Prompt>& prompts() const { return prompts_; }
  const ModelConfig& config() const { return session_.config(); }

 private:
  Result<void> run_temperature(LoopRunner& runner, const AcceptArm& arm, GenerateOptions& generate,
                               ArmRun& done) {
    std::vector<AcceptCounts> counts(prompts_.size());
    Tokens tokens;
    const int seeds = generate.temperature == 0.0 ? 1 : options_.seeds;
    // Another temperature of the same bucket goes on where the one before has ended.
    const int bucket = scheduler::temperature_bucket(generate.temperature);
    int64_t& steps = done.steps[bucket];
    for (int pass = -1; pass < seeds; ++pass) {
      if (steps >= options_.calibration_steps && !done.warm_after.contains(bucket)) {
        runner.loop().scheduler().speculation().acceptance().restart_reliability(bucket);
        done.warm_after[bucket] = steps;
      }
      generate.seed =
          options_.seed + (pass < 0 ? kWarmUpSeed : static_cast<uint64_t>(pass) * prompts_.size());
      const auto requests = make_requests(generate, runner.loop().options().context, prompt_tokens_);
      auto run = runner.run(requests, options_.concurrency);
      if (!run) return tl::make_unexpected(run.error());
      const RunTotals totals = totals_of(*run);
      steps += totals.steps;
      fmt::print(stderr, "{}, T {}, pass {}: {} tokens in {:.1f} s, mean accepted length {:.3f}\n", arm.name,
                 generate.temperature, pass + 1, totals.tokens, totals.seconds,
                 totals.mean_accepted_length());
      if (pass < 0) continue;
      for (size_t i = 0; i < run->completions.size(); ++i) {
        counts[i].add(run->completions[i].report);
        tokens.push_back(std::move(run->completions[i].tokens));
      }
    }
    done.counts.push_back(std::move(counts));
    done.tokens.push_back(std::move(tokens));
    return {};
  }

  static void add_calibration(const AcceptArm& arm, const scheduler::AcceptanceModel& calibration,
                              const ArmRun& done, AcceptReport& report) {
    for (int bucket = 0; bucket < scheduler::kTemperatureBuckets; ++bucket) {
      const auto warm = done.warm_after.find(bucket);
      for (int depth = 1; depth <= scheduler::AcceptanceModel::kDepths; ++depth) {
        const scheduler::Reliability& reliability = calibration.reliability(bucket, depth);
        if (reliability.count() < 0.5) continue;
        report.calibration.push_back({.arm = arm.name,
                                      .temperatures = std::string(scheduler::temperature_bucket_name(bucket)),
                                      .depth = depth,
                                      .after_steps = warm == done.warm_after.end() ? 0 : warm->second,
                                      .predictions = reliability.count(),
                                      .ece = reliability.ece(),
                                      .noise = reliability.noise(),
                                      .brier = reliability.brier(),
                                      .auc = reliability.auc(),
                                      .second_choice_rate = calibration.second_choice_rate(bucket)});
      }
    }
  }

  const AcceptOptions& options_;
  Session session_;
  std::vector<Prompt> prompts_;
  std::vector<std::vector<int32_t>> prompt_tokens_;
};

// The counts of the prompts of one domain.
std::vector<AcceptCounts> of_domain(const std::vector<AcceptCounts>& counts,
                                    const std::vector<Prompt>& prompts, const std::string& domain) {
  std::vector<AcceptCounts> chosen;
  for (size_t i = 0; i < prompts.size(); ++i)
    if (domain == "all" || prompts[i].domain == domain) chosen.push_back(counts[i]);
  return chosen;
}

// Which prompt and seed first differ between an arm and the one it must equal.
Result<void> compare(const AcceptOptions& options, const std::vector<AcceptArm>& arms,
                     const std::vector<ArmRun>& runs) {
  for (size_t t = 0; t < options.temperatures.size(); ++t) {
    size_t first = arms.size();
    for (size_t a = 0; a < arms.size(); ++a) {
      if (arms[a].acceptance != scheduler::Acceptance::kCoupled && options.temperatures[t] > 0.0) continue;
      if (first == arms.size()) first = a;
      for (size_t i = 0; i < runs[a].tokens[t].size(); ++i)
        if (runs[a].tokens[t][i] != runs[first].tokens[t][i])
          return fail(ErrorCode::kInternal, "completion {} at temperature {}: {} and {} differ", i,
                      options.temperatures[t], arms[a].name, arms[first].name);
    }
  }
  return {};
}

}  // namespace

std::vector<AcceptArm> accept_arms(int32_t block) {
  constexpr auto kCoupled = scheduler::Acceptance::kCoupled;
  constexpr auto kTree = draft::TreeShape::kBestFirst;
  const int32_t rows = block + 1;
  return {
      {"rejection chain", scheduler::Acceptance::kRejection, draft::TreeShape::kChain, rows},
      {"coupled chain", kCoupled, draft::TreeShape::kChain, rows},
      {"coupled tree, equal rows", kCoupled, kTree, rows},
      {"coupled tree, twice the rows", kCoupled, kTree, 2 * rows},
      {"coupled, adaptive", kCoupled, kTree, 0},
  };
}

Result<AcceptReport> run_accept_arms(const AcceptOptions& options) {
  if (options.seeds < 1 || options.temperatures.empty() || options.block < 0)
    return fail(ErrorCode::kInvalidArgument,
                "expected at least one seed, one temperature and no negative block");
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  auto prompts = load_prompts(options.prompts, session->config(), options.session.model);
  if (!prompts) return tl::make_unexpected(prompts.error());
  Experiment experiment(options, std::move(*session), std::move(*prompts));
  const ModelConfig& config = experiment.config();
  const int32_t block = options.block > 0     ? options.block
                        : config.has_dspark() ? config.dspark.block_size
                                              : kDefaultBlock;
  std::vector<AcceptArm> arms = accept_arms(block);
  std::erase_if(arms, [&](const AcceptArm& arm) { return arm.name.find(options.arms) == std::string::npos; });
  if (arms.empty()) return fail(ErrorCode::kInvalidArgument, "no arm's name contains \"{}\"", options.arms);
  AcceptReport report;
  report.baseline = arms[0].name;
  std::vector<ArmRun> runs;
  for (const AcceptArm& arm : arms) {
    auto run = experiment.run(arm, report);
    if (!run) return tl::make_unexpected(run.error());
    runs.push_back(std::move(*run));
  }
  if (auto same = compare(options, arms, runs); !same) return tl::make_unexpected(same.error());
  std::set<std::string> domains;
  for (const Prompt& prompt : experiment.prompts())
    if (!prompt.domain.empty()) domains.insert(prompt.domain);
  std::vector<std::string> groups = {"all"};
  groups.insert(groups.end(), domains.begin(), domains.end());
  for (const std::string& domain : groups)
    for (size_t t = 0; t < options.temperatures.size(); ++t) {
      const auto baseline = of_domain(runs[0].counts[t], experiment.prompts(), domain);
      for (size_t a = 0; a < arms.size(); ++a) {
        const auto counts = of_domain(runs[a].counts[t], experiment.prompts(), domain);
        report.lines.push_back({domain, options.temperatures[t], arms[a].name,
                                accept_figures(counts, options.seed),
                                length_ratio(counts, baseline, options.seed)});
      }
    }
  return report;
}

Result<void> run_accept(const AcceptOptions& options, std::FILE* out) {
  const auto report = run_accept_arms(options);
  if (!report) return tl::make_unexpected(report.error());
  fmt::print(out, "{}", accept_markdown(*report));
  if (auto written = write_report(options.json, accept_json(*report)); !written) return written;
  return write_report(options.csv, accept_csv(*report));
}

}  // namespace ft::eval
