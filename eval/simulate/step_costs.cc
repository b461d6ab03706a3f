#include "eval/simulate/step_costs.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace ft::eval {

namespace {

// Fewer steps than these say little about their number of rows.
constexpr int64_t kStepsLeast = 5;
constexpr double kRowsMost = 1e6;

double at(const StepCosts::Curve& curve, double x) {
  if (curve.empty()) return 0.0;
  if (curve.size() == 1) return curve.begin()->second;
  auto above = curve.lower_bound(x);
  if (above == curve.begin()) ++above;
  if (above == curve.end()) --above;
  const auto below = std::prev(above);
  const double slope = (above->second - below->second) / (above->first - below->first);
  // Noise in the outermost points must not make large steps cheaper.
  if (x > above->first) return above->second + std::max(0.0, slope) * (x - above->first);
  return std::max(0.0, below->second + slope * (x - below->first));
}

}  // namespace

double ExpertLaw::distinct(double requests, double drafted) const {
  if (layers == 0.0) return 0.0;
  const double independent = requests + drafted * (1.0 - overlap);
  return layers * experts * (1.0 - std::pow(1.0 - per_token / experts, independent));
}

Result<StepCosts> StepCosts::of_runs(const std::vector<CellRun>& runs) {
  std::map<int32_t, StepSums> decode;
  std::map<int32_t, DraftSums> drafts;
  StepSums mixed;
  double busy = 0.0;
  double wall = 0.0;
  int64_t steps = 0;
  for (const CellRun& run : runs) {
    for (const auto& [rows, sums] : run.decode) {
      decode[rows].add(sums);
      busy += sums.verify_seconds + sums.commit_seconds;
      steps += sums.steps;
    }
    for (const auto& [requests, sums] : run.drafts) {
      drafts[requests].calls += sums.calls;
      drafts[requests].seconds += sums.seconds;
      busy += sums.seconds;
    }
    mixed.add(run.mixed);
    busy += run.mixed.verify_seconds + run.mixed.commit_seconds;
    steps += run.mixed.steps;
    wall += run.seconds;
  }
  Curve rows_curve;
  for (const auto& [rows, sums] : decode)
    if (sums.steps >= kStepsLeast)
      rows_curve[rows] = (sums.verify_seconds + sums.commit_seconds) / static_cast<double>(sums.steps);
  if (rows_curve.size() < 2)
    return fail(ErrorCode::kInvalidArgument, "the runs have decode steps of fewer than two numbers of rows");
  Curve draft_curve;
  for (const auto& [requests, sums] : drafts)
    if (sums.calls >= kStepsLeast) draft_curve[requests] = sums.seconds / static_cast<double>(sums.calls);
  double prompt_row = 0.0;
  if (mixed.prompt_rows > 0) {
    const auto count = static_cast<double>(mixed.steps);
    const double verified = at(rows_curve, static_cast<double>(mixed.rows) / count);
    prompt_row = std::max(0.0, mixed.verify_seconds + mixed.commit_seconds - count * verified) /
                 static_cast<double>(mixed.prompt_rows);
  }
  const double overhead = steps == 0 ? 0.0 : std::max(0.0, wall - busy) / static_cast<double>(steps);
  return StepCosts(std::move(rows_curve), prompt_row, 0.0, std::move(draft_curve), overhead);
}

double StepCosts::step_seconds(const StepShape& shape) const {
  return at(rows_, shape.requests + shape.drafted) + prompt_row_ * shape.prompt_rows +
         expert_ * shape.experts;
}

double StepCosts::draft_seconds(double requests) const {
  return requests == 0.0 ? 0.0 : at(draft_, requests);
}

StepCosts ceiling_costs(const Ceilings& hardware, const ModelSizes& model) {
  const double base = hardware.floor_seconds + model.dense_bytes / hardware.bytes_per_second;
  const double row = model.row_operations / hardware.operations_per_second;
  const double share = model.draft_layers / model.layers;
  const StepCosts::Curve rows = {{0.0, base}, {kRowsMost, base + row * kRowsMost}};
  StepCosts::Curve draft;
  if (share > 0.0) {
    const double fixed = share * base + model.draft_rows * hardware.head_seconds;
    draft = {{0.0, fixed}, {kRowsMost, fixed + share * row * model.draft_rows * kRowsMost}};
  }
  return StepCosts(rows, row, model.expert_bytes / hardware.bytes_per_second, draft, 0.0);
}

}  // namespace ft::eval
