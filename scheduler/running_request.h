// A running request with its part of the step in progress.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/batch_planner.h"
#include "scheduler/engine_options.h"
#include "scheduler/request_state.h"
#include "verify/token_tree.h"

namespace ft::scheduler {

struct RunningRequest {
  std::unique_ptr<RequestState> state;

  PlanInput wanted;
  PlanEntry plan;
  bool asked_model = false;  // for this step
  int32_t look = 0;          // nodes that are verified to see what they cost, whether they pay or not
  draft::DraftTree drafts;
  std::vector<float> probability;  // of the drafts' nodes: corrected path probabilities
  std::vector<float> optimistic;   // and optimistic ones; see AcceptanceModel
  std::vector<int32_t> kept;       // of the drafts' nodes, those that are verified
  verify::TokenTree tree;
  Fallback fallback = Fallback::kDisabled;  // if it drafts nothing
  bool finished = false;

  // Whether the step reaches its last known token, and so emits something.
  bool emits() const { return plan.known == wanted.pending; }

  // Nodes of one request's tree at most.
  static size_t nodes_max(const EngineOptions& options) {
    const int32_t most = options.tree_nodes == 0 ? options.tree_nodes_max : options.tree_nodes;
    return static_cast<size_t>(std::min(most, options.batch_rows));
  }
  // Sets memory aside for what a step may need at most.
  void reserve(const EngineOptions& options) {
    const size_t nodes = nodes_max(options);
    drafts.nodes.reserve(nodes);
    probability.reserve(nodes);
    optimistic.reserve(nodes);
    kept.reserve(nodes + 1);  // a selection writes one further
    tree.reserve(static_cast<int32_t>(nodes));
  }
};

}  // namespace ft::scheduler
