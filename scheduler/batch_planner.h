// Which rows go into the next forward call: every decoding request's anchor, draft budgets, and prefill
// chunks. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ft::scheduler {

// A running request before a step. `pending` tokens are known but not in the cache: 1 while decoding (the
// anchor), more while the prompt is being read.
struct PlanInput {
  int64_t pending = 1;
  int64_t known_max = 1;   // of these, in one step: where its state is to be remembered it stops
  int32_t drafts_max = 0;  // drafted rows that it may verify in a step
};

struct PlanLimits {
  int32_t batch_rows = 256;
  int32_t prefill_chunk = 128;
};

// What a request gets: `known` rows of pending tokens, then up to `drafts` drafted rows behind the last of
// them. A request reaches its last known token, and so emits something, iff known == pending. known == 0: it
// sits this step out.
struct PlanEntry {
  int64_t known = 0;
  int32_t drafts = 0;
};

// Fills entries[i] for inputs[i] (older requests first). Every decoding request gets its anchor; prefill gets
// what the anchors leave, at least one chunk's share per step in order of age, so neither starves the other;
// drafts share the rest evenly. The sum of rows is at most batch_rows.
void plan_batch(std::span<const PlanInput> inputs, const PlanLimits& limits, std::vector<PlanEntry>& entries);

}  // namespace ft::scheduler
