#include "eval/paper_selection.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "core/check.h"

namespace ft::eval {

using scheduler::Candidates;
using scheduler::StepBase;

void PaperSelection::order(std::span<const Candidates> requests) {
  sorted_.clear();
  taken_.resize(std::max(taken_.size(), requests.size()));
  for (size_t r = 0; r < requests.size(); ++r) {
    taken_[r].assign(requests[r].nodes.size(), 0);
    for (size_t i = 0; i < requests[r].nodes.size(); ++i)
      sorted_.push_back({requests[r].probability[i], requests[r].nodes[i].depth, r, static_cast<int32_t>(i)});
  }
  std::ranges::sort(sorted_, {}, [](const Entry& entry) {
    return std::tuple(-entry.probability, entry.depth, entry.request, entry.node);
  });
}

// A price must not depend on tokens, so rows are taken to choose their experts independently.
double PaperSelection::seconds(const StepBase& base, int32_t rows) const {
  return std::max(1e-12, base.draft_seconds + costs_.verify_seconds(static_cast<double>(rows)));
}

double PaperSelection::select(std::span<const Candidates> requests, const StepBase& base,
                              std::vector<std::vector<int32_t>>& kept) {
  FT_CHECK(kept.size() >= requests.size(), kept.size(), requests.size());
  order(requests);
  for (size_t r = 0; r < requests.size(); ++r) kept[r].clear();
  const bool measured = costs_.measured();
  int32_t rows = base.rows;
  auto tokens = static_cast<double>(base.emitting);
  double taken_seconds = seconds(base, rows);
  if (measured && base.running > base.emitting) {
    // A step that reads prompts emits little, but that makes time no cheaper than in a step of its own.
    const auto running = static_cast<double>(base.running);
    tokens = std::max(tokens, running / std::max(costs_.verify_seconds(running), 1e-12) * taken_seconds);
  }
  const size_t last = std::min(budget(requests, base), sorted_.size());
  for (size_t i = 0; i < last && rows < base.rows_max; ++i) {
    const Entry& entry = sorted_[i];
    const Candidates& request = requests[entry.request];
    const int32_t parent = request.nodes[static_cast<size_t>(entry.node)].parent;
    std::vector<uint8_t>& taken = taken_[entry.request];
    std::vector<int32_t>& nodes = kept[entry.request];
    if (std::ssize(nodes) >= request.nodes_max || (parent >= 0 && taken[static_cast<size_t>(parent)] == 0))
      continue;
    const double more = tokens + static_cast<double>(entry.probability);
    const double longer = seconds(base, rows + 1);
    if (measured && stops_early() && more * taken_seconds <= tokens * longer) break;
    taken[static_cast<size_t>(entry.node)] = 1;
    nodes.push_back(entry.node);
    ++rows;
    tokens = more;
    taken_seconds = longer;
  }
  for (size_t r = 0; r < requests.size(); ++r) std::ranges::sort(kept[r]);
  return measured ? tokens / taken_seconds : 0.0;
}

size_t TwoStepSelection::budget(std::span<const Candidates> requests, const StepBase& base) {
  std::vector<float>& past = past_[step_ % past_.size()];
  // Before there is a past, everything is verified once.
  size_t best = SIZE_MAX;
  if (step_ >= past_.size()) {
    best = 0;
    double tokens = base.emitting;
    double rate = tokens / (base.draft_seconds + costs_.verify_seconds(static_cast<double>(base.rows)));
    for (size_t k = 0; k < past.size(); ++k) {
      tokens += static_cast<double>(past[k]);
      const double rows = base.rows + static_cast<double>(k + 1);
      const double here = tokens / (base.draft_seconds + costs_.verify_seconds(rows));
      if (here <= rate) continue;
      rate = here;
      best = k + 1;
    }
  }
  ++step_;
  past.clear();
  for (const Candidates& request : requests)
    past.insert(past.end(), request.probability.begin(), request.probability.end());
  std::sort(past.begin(), past.end(), std::greater<>());
  return best;
}

Result<scheduler::MakeSelection> parse_selection(const std::string& name) {
  if (name == "global") return scheduler::MakeSelection();
  if (name == "stepwise")
    return scheduler::MakeSelection(
        [](const scheduler::CostModel& costs) { return std::make_unique<StepwiseSelection>(costs); });
  if (name == "two-step")
    return scheduler::MakeSelection(
        [](const scheduler::CostModel& costs) { return std::make_unique<TwoStepSelection>(costs); });
  return fail(ErrorCode::kInvalidArgument, "selection is \"{}\", expected global, stepwise or two-step",
              name);
}

}  // namespace ft::eval
