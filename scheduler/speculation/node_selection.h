// The choice of drafted nodes to verify, over all requests of a step at once: what it sees and what it says.
//
// A selection is judged by the expected tokens per second of the step (dspark.md 3.1, 6.2):
//
//   (requests that emit + sum of path probabilities of the selected nodes) / (draft seconds + verify seconds)
//
// Under coupled acceptance the target's keyed tokens decide what is emitted, so every selection is exact.
// Under rejection acceptance only a causal one is: whether a node is verified must not depend on drafted
// tokens other than its ancestors (dspark.md 3.3).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/speculation/cost_model.h"

namespace ft::scheduler {

// A request that decodes in this step. `nodes` parents first; estimates never above the parent's.
struct Candidates {
  std::span<const draft::DraftNode> nodes;
  std::span<const float> probability;  // estimated path probability of each
  int32_t nodes_max = 0;               // drafted rows at most
  // Part of a row's experts that rows before it in its tree have chosen too, in layers that route by score.
  float expert_overlap = 0.0f;
};

// What the step contains before any drafted row.
struct StepBase {
  int32_t rows = 0;            // anchors and prompt rows
  int32_t rows_max = 0;        // of the whole step
  int32_t emitting = 0;        // requests that will emit a token
  int32_t running = 0;         // requests in all; those that read prompts do not emit, but their time counts
  double draft_seconds = 0.0;  // already spent on the candidates
  std::span<const int32_t> anchors;  // their tokens, for the experts of layers that route by token
};

// How experts are chosen, as far as it is known before a row is run.
struct ExpertLayout {
  int32_t experts = 0;  // routed experts of a layer
  int32_t per_token = 0;
  int32_t score_layers = 0;
  int32_t vocab = 0;                        // V
  std::vector<const int32_t*> hash_tables;  // [V, per_token] of each layer that routes by token
};

class NodeSelection {
 public:
  virtual ~NodeSelection() = default;

  // Fills kept[r] for requests[r]: the nodes to verify, as indices in order, closed under parents. kept has
  // at least as many lists as there are requests. Returns the expected tokens per second of the choice, 0
  // while costs are not known. No allocation once warm.
  virtual double select(std::span<const Candidates> requests, const StepBase& base,
                        std::vector<std::vector<int32_t>>& kept) = 0;
  // Whether it is exact under rejection acceptance. Such a one is given plain estimates, not optimistic ones.
  virtual bool causal() const = 0;
};

// Makes a selection for an engine. `costs` outlives it.
using MakeSelection = std::function<std::unique_ptr<NodeSelection>(const CostModel& costs)>;

}  // namespace ft::scheduler
