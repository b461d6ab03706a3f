#include "eval/bench_scheduler.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "eval/report_file.h"
#include "eval/statistics.h"
#include "eval/synthetic_drafts.h"
#include "scheduler/batch_planner.h"
#include "scheduler/calibration.h"
#include "scheduler/cost_model.h"
#include "scheduler/draft_gate.h"
#include "scheduler/kept_tree.h"
#include "scheduler/speculation_policy.h"
#include "verify/token_tree.h"

namespace ft::eval {

namespace {

using Clock = std::chrono::steady_clock;

// V4-Flash (dspark.md 1.8).
constexpr int32_t kLayers = 43, kHashLayers = 3, kExperts = 256, kPerToken = 6;
// A step on a fast device: 10 GB of weights for one row at 5 TB/s, 13.4 MB per further expert, little per
// row.
constexpr double kBaseSeconds = 1.6e-3, kRowSeconds = 4e-6, kExpertSeconds = 2.7e-6;
constexpr double kDraftSeconds = 0.6e-3;
constexpr draft::ModelDepth kDepth{5, 8};
// Share of its experts that a row has in common with the one before it.
constexpr float kOverlap = 0.5f;

// Everything that one step of the bench works on.
class Bench {
 public:
  explicit Bench(const BenchSchedulerOptions& options)
      : options_(options),
        drafts_(options.seed),
        costs_(rows_max(), options.requests * kDepth.most, double{kLayers} * kPerToken),
        policy_(costs_, layout(options.seed), scheduler::SelectionMode::kGlobal),
        gate_(costs_, kDepth),
        outlooks_(requests()),
        trees_(requests()),
        probability_(requests()),
        hoped_(requests()),
        candidates_(requests()),
        kept_(requests()),
        token_trees_(requests()),
        targets_(requests()),
        invented_(requests()),
        anchors_(requests()),
        inputs_(requests()) {
    // Rows that choose by themselves, and rows that share half of their experts.
    for (int32_t rows = 1; rows <= rows_max(); rows *= 2)
      for (double own : {0.5, 1.0}) {
        const double missed = std::pow(1.0 - double{kPerToken} / kExperts, own * rows);
        const double pairs = double{kLayers} * kExperts * (1.0 - missed);
        costs_.observe_verify(rows, pairs, kBaseSeconds + rows * kRowSeconds + pairs * kExpertSeconds);
      }
    costs_.observe_draft(options.requests * kDepth.trained, 0, kDraftSeconds);
    for (scheduler::DraftOutlook& outlook : outlooks_)
      gate_requests_.push_back({&outlook, options.candidates, 0, kOverlap});
  }

  // Adds the microseconds of the parts to `parts`.
  void step(int64_t number, std::array<double, kSchedulerParts.size()>& parts) {
    // What the drafter and the target say is not the scheduler's work.
    plan();
    for (size_t r = 0; r < requests(); ++r) {
      drafts_.invent(builder_, asked(r), number, static_cast<int32_t>(r), invented_[r]);
      drafts_.target(number, static_cast<int32_t>(r), targets_[r]);
    }
    const auto start = Clock::now();
    plan();
    const auto planned = Clock::now();
    build();
    const auto built = Clock::now();
    select(number);
    const auto selected = Clock::now();
    accept(number);
    const auto accepted = Clock::now();
    const auto microseconds = [](Clock::duration duration) {
      return std::chrono::duration<double, std::micro>(duration).count();
    };
    parts = {microseconds(planned - start), microseconds(built - planned), microseconds(selected - built),
             microseconds(accepted - selected)};
  }

  int64_t kept() const { return kept_nodes_; }
  int64_t accepted() const { return accepted_nodes_; }

 private:
  size_t requests() const { return static_cast<size_t>(options_.requests); }
  int32_t rows_max() const { return options_.requests * (options_.candidates + 1); }

  scheduler::ExpertLayout layout(uint64_t seed) {
    std::mt19937_64 random(seed);
    scheduler::ExpertLayout layout;
    layout.experts = kExperts;
    layout.per_token = kPerToken;
    layout.vocab = SyntheticDrafts::kVocab;
    layout.score_layers = kLayers - kHashLayers;
    hash_tables_.resize(kHashLayers);
    for (std::vector<int32_t>& table : hash_tables_) {
      table.resize(size_t{SyntheticDrafts::kVocab} * kPerToken);
      for (int32_t& expert : table) expert = static_cast<int32_t>(random() % kExperts);
      layout.hash_tables.push_back(table.data());
    }
    return layout;
  }

  void plan() {
    for (scheduler::PlanInput& input : inputs_) input.drafts_max = options_.candidates;
    plan_batch(inputs_, {rows_max(), 128}, entries_);
    gate_.decide(gate_requests_, options_.requests, options_.requests, drafted_);
  }

  draft::ProposeRequest asked(size_t r) const {
    draft::ProposeRequest asked;
    asked.nodes_max = entries_[r].drafts;
    asked.temperature = temperature(r);
    asked.shares = &calibration_.shares(asked.temperature);
    return asked;
  }

  void build() {
    for (size_t r = 0; r < requests(); ++r) {
      const draft::ProposeRequest request = asked(r);
      SyntheticDrafts::build(builder_, request, invented_[r], trees_[r]);
      calibration_.correct(request.temperature, trees_[r].nodes, probability_[r]);
      calibration_.hope(request.temperature, trees_[r].nodes, probability_[r], hoped_[r]);
    }
  }

  void select(int64_t number) {
    for (size_t r = 0; r < requests(); ++r) {
      candidates_[r] = {trees_[r].nodes, hoped_[r], entries_[r].drafts, kOverlap};
      anchors_[r] = drafts_.anchor(number, static_cast<int32_t>(r));
    }
    const scheduler::StepBase base{.rows = options_.requests,
                                   .rows_max = rows_max(),
                                   .emitting = options_.requests,
                                   .draft_seconds = kDraftSeconds,
                                   .anchors = anchors_};
    policy_.select(candidates_, base, kept_);
  }

  void accept(int64_t number) {
    for (size_t r = 0; r < requests(); ++r) {
      verify::TokenTree& tree = token_trees_[r];
      scheduler::plant(anchors_[r], trees_[r].nodes, probability_[r], kept_[r], places_, tree);
      std::vector<int32_t>& emitted = targets_[r];
      size_t stand = 0;
      for (int32_t node = 0; stand + 1 < emitted.size(); ++stand) {
        node = tree.child(node, emitted[stand]);
        if (node < 0) break;
      }
      emitted.resize(stand + 1);
      kept_nodes_ += static_cast<int64_t>(kept_[r].size());
      accepted_nodes_ += static_cast<int64_t>(stand);
      const bool turn = scheduler::Calibration::learns_from(number, r, requests());
      if (turn) calibration_.observe(temperature(r), trees_[r].nodes, probability_[r], kept_[r], emitted);
      if (turn || outlooks_[r].is_new()) gate_.observe(outlooks_[r], trees_[r].nodes, hoped_[r], kDepth.most);
    }
    gate_.spend(gate_requests_, drafted_, kBaseSeconds);
  }

  static double temperature(size_t request) { return request % 2 == 0 ? 1.0 : 0.0; }

  const BenchSchedulerOptions& options_;
  SyntheticDrafts drafts_;
  std::vector<std::vector<int32_t>> hash_tables_;
  scheduler::Calibration calibration_;
  scheduler::CostModel costs_;
  scheduler::SpeculationPolicy policy_;
  scheduler::DraftGate gate_;
  std::vector<scheduler::DraftOutlook> outlooks_;
  std::vector<scheduler::DraftGate::Request> gate_requests_;
  std::vector<uint8_t> drafted_;
  draft::TreeBuilder builder_;
  std::vector<draft::DraftTree> trees_;
  std::vector<std::vector<float>> probability_;
  std::vector<std::vector<float>> hoped_;
  std::vector<scheduler::Candidates> candidates_;
  std::vector<std::vector<int32_t>> kept_;
  std::vector<verify::TokenTree> token_trees_;
  std::vector<std::vector<int32_t>> targets_;
  std::vector<SyntheticDrafts::Draft> invented_;
  std::vector<int32_t> anchors_;
  std::vector<scheduler::PlanInput> inputs_;
  std::vector<scheduler::PlanEntry> entries_;
  std::vector<int32_t> places_;
  int64_t kept_nodes_ = 0;
  int64_t accepted_nodes_ = 0;
};

}  // namespace

Result<BenchSchedulerResult> bench_scheduler(const BenchSchedulerOptions& options) {
  if (options.requests < 1 || options.candidates < 1 || options.steps < 1)
    return fail(ErrorCode::kInvalidArgument,
                "requests {}, candidates {}, steps {}: expected at least 1 of each", options.requests,
                options.candidates, options.steps);
  Bench bench(options);
  using Parts = std::array<double, kSchedulerParts.size()>;
  std::vector<Parts> parts(static_cast<size_t>(options.steps));
  const int64_t warm_up = options.steps / 10 + 50;
  for (int64_t step = 0; step < warm_up; ++step) bench.step(step, parts[0]);
  const int64_t kept_before = bench.kept();
  const int64_t accepted_before = bench.accepted();
  const int64_t allocated_before = options.allocations == nullptr ? 0 : options.allocations();
  for (int64_t step = 0; step < options.steps; ++step)
    bench.step(warm_up + step, parts[static_cast<size_t>(step)]);
  const int64_t allocated = options.allocations == nullptr ? 0 : options.allocations() - allocated_before;

  BenchSchedulerResult result;
  const auto steps = static_cast<double>(options.steps);
  if (options.allocations != nullptr) result.allocations_per_step = static_cast<double>(allocated) / steps;
  result.kept_per_request = static_cast<double>(bench.kept() - kept_before) / steps / options.requests;
  result.accepted_per_request =
      static_cast<double>(bench.accepted() - accepted_before) / steps / options.requests;
  std::vector<double> totals;
  for (const Parts& step : parts) {
    double total = 0.0;
    for (double part : step) total += part;
    totals.push_back(total);
  }
  result.p50_us = percentile(totals, 0.5);
  result.p99_us = percentile(totals, 0.99);
  for (size_t part = 0; part < kSchedulerParts.size(); ++part) {
    std::vector<double> values;
    for (const Parts& step : parts) values.push_back(step[part]);
    result.part_p50_us[part] = percentile(values, 0.5);
  }
  return result;
}

std::string bench_scheduler_json(const BenchSchedulerOptions& options, const BenchSchedulerResult& result) {
  nlohmann::ordered_json report = {{"us_per_step_p50", result.p50_us},
                                   {"us_per_step_p99", result.p99_us},
                                   {"allocations_per_step", result.allocations_per_step},
                                   {"requests", options.requests},
                                   {"candidates", options.candidates},
                                   {"steps", options.steps},
                                   {"kept_per_request", result.kept_per_request},
                                   {"accepted_per_request", result.accepted_per_request}};
  if (result.allocations_per_step < 0.0) report["allocations_per_step"] = nullptr;
  for (size_t part = 0; part < kSchedulerParts.size(); ++part)
    report["parts_us_p50"][kSchedulerParts[part]] = result.part_p50_us[part];
  return report.dump(2) + "\n";
}

Result<void> run_bench_scheduler(const BenchSchedulerOptions& options, std::FILE* out) {
  const auto result = bench_scheduler(options);
  if (!result) return tl::make_unexpected(result.error());
  fmt::print(out, "{} requests, {} candidates each, {} steps: {:.1f} us per step (p50), {:.1f} us (p99)\n",
             options.requests, options.candidates, options.steps, result->p50_us, result->p99_us);
  for (size_t part = 0; part < kSchedulerParts.size(); ++part)
    fmt::print(out, "  {:<8} {:>8.1f} us\n", kSchedulerParts[part], result->part_p50_us[part]);
  if (result->allocations_per_step >= 0.0)
    fmt::print(out, "allocations per step: {:.3f}\n", result->allocations_per_step);
  fmt::print(out, "per request and step: {:.2f} nodes kept, {:.2f} accepted\n", result->kept_per_request,
             result->accepted_per_request);
  return write_report(options.json, bench_scheduler_json(options, *result));
}

}  // namespace ft::eval
