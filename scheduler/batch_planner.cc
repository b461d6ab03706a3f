#include "scheduler/batch_planner.h"

#include <algorithm>

namespace ft::scheduler {

void plan_batch(std::span<const PlanInput> inputs, const PlanLimits& limits,
                std::vector<PlanEntry>& entries) {
  entries.assign(inputs.size(), {});
  int64_t rows_left = limits.batch_rows;
  int64_t drafting = 0;
  for (size_t i = 0; i < inputs.size() && rows_left > 0; ++i) {
    if (inputs[i].pending != 1) continue;
    entries[i].known = 1;
    --rows_left;
    drafting += inputs[i].drafts_max > 0 ? 1 : 0;
  }
  for (size_t i = 0; i < inputs.size() && rows_left > 0; ++i) {
    if (inputs[i].pending == 1) continue;
    entries[i].known =
        std::min({inputs[i].pending, inputs[i].known_max, int64_t{limits.prefill_chunk}, rows_left});
    rows_left -= entries[i].known;
  }
  for (size_t i = 0; i < inputs.size() && drafting > 0; ++i) {
    const PlanInput& input = inputs[i];
    if (input.pending != 1 || entries[i].known == 0 || input.drafts_max <= 0) continue;
    // An even share of what is left; what one request does not want goes to those after it.
    entries[i].drafts = static_cast<int32_t>(std::min<int64_t>(input.drafts_max, rows_left / drafting));
    rows_left -= entries[i].drafts;
    --drafting;
  }
}

}  // namespace ft::scheduler
