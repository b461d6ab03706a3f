// What steps cost in a simulation: from steps that were measured, or from the ceilings of stated hardware.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/error.h"
#include "eval/accept/cell_run.h"

namespace ft::eval {

// The experts of a model, for the law of distinct experts: m rows that choose independently read
// layers * experts * (1 - (1 - per_token / experts)^m) (layer, expert) pairs (dspark.md 3.4).
struct ExpertLaw {
  double layers = 0.0;  // that route; 0: the model has no experts
  double experts = 0.0;
  double per_token = 0.0;
  // Part of a row's experts that the row before it in the same request has chosen, too.
  double overlap = 0.5;

  // `requests` rows choose by themselves, `drafted` more follow one of them.
  double distinct(double requests, double drafted) const;
};

struct StepShape {
  double requests = 0.0;     // that verify
  double drafted = 0.0;      // rows beyond one for each
  double prompt_rows = 0.0;  // that are only read
  double experts = 0.0;      // distinct pairs
};

// Seconds = curve(verified rows) + prompt_row * prompt rows + expert * distinct experts, and, of a draft,
// draft(requests). Curves are straight between their points and beyond the last two.
class StepCosts {
 public:
  using Curve = std::map<double, double>;

  StepCosts(Curve rows, double prompt_row, double expert, Curve draft, double overhead)
      : rows_(std::move(rows)),
        prompt_row_(prompt_row),
        expert_(expert),
        draft_(std::move(draft)),
        overhead_(overhead) {}

  // From all cells of a result of `accept`: means of its decode steps by rows (experts included, so none are
  // priced apart), of its drafts by requests, of its prompt rows, and the time between steps.
  // kInvalidArgument where it has fewer than two numbers of rows.
  static Result<StepCosts> of_runs(const std::vector<CellRun>& runs);

  double step_seconds(const StepShape& shape) const;
  double draft_seconds(double requests) const;
  // Between two steps: planning, sampling's bookkeeping, handing tokens out.
  double overhead_seconds() const { return overhead_; }
  void add_overhead(double seconds) { overhead_ += seconds; }
  double expert_seconds() const { return expert_; }

 private:
  Curve rows_;
  double prompt_row_;
  double expert_;
  Curve draft_;
  double overhead_;
};

// Stated hardware of one replica, all ranks together.
struct Ceilings {
  double floor_seconds =
      0.0;  // of a step: launches, exchanges between ranks, what bytes and operations do not explain
  double bytes_per_second = 0.0;
  double operations_per_second = 0.0;
  double head_seconds = 0.0;  // of each of the sequential steps of a draft
};

// Stated sizes of a model and its draft.
struct ModelSizes {
  double dense_bytes = 0.0;   // read by every step whatever its rows: attention, shared experts, head
  double expert_bytes = 0.0;  // of one (layer, expert) pair
  double row_operations = 0.0;
  double layers = 0.0;
  double draft_layers = 0.0;  // in one pass
  double draft_rows = 0.0;    // positions that a pass computes per request
};

// Bytes and operations one after the other, which is an upper bound where hardware overlaps them. A draft
// costs its share of layers of the floor, the dense bytes and the operations.
StepCosts ceiling_costs(const Ceilings& hardware, const ModelSizes& model);

}  // namespace ft::eval
