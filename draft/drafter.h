// The interface of drafters. A drafter watches what the target commits and proposes a scored tree of next
// tokens.
//
// A drafter only ever proposes. Wrong, stale or missing drafts cost speed, never correctness: the target's
// own keyed tokens decide (ARCHITECTURE.md, idea 3). One thread, the engine's, calls a drafter.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/batch.h"
#include "core/constraint.h"
#include "core/error.h"
#include "core/model.h"
#include "draft/acceptance_table.h"

namespace ft::draft {

// One drafted token. Its depth is its parent's plus one; depth 1 follows the anchor.
struct DraftNode {
  int32_t token = 0;
  int32_t parent = -1;  // index of an earlier node, -1 = the anchor
  // Estimated probability that the target's own path runs through this node; at most the parent's.
  float path_probability = 0.0f;
  // What the estimate was made of (acceptance_table.h), for the acceptance model.
  float score = 0.0f;
  uint8_t rank = 0;  // among the children of its parent that its source proposed
  uint8_t depth = 1;
  DraftSource source = DraftSource::kModel;
};

// Nodes in an order in which parents precede their children, so that every prefix is a tree too. Siblings
// have distinct tokens. The anchor is not listed.
struct DraftTree {
  std::vector<DraftNode> nodes = {};
  // Drawn chains only (ProposeRequest::draw): row i is the distribution [V] that node i was drawn from.
  std::vector<double> probability = {};
};

enum class TreeShape : uint8_t {
  kBestFirst,  // the nodes with the largest path probability, whatever shape they form
  kChain,      // one child per node
};

// A sequence that wants drafts. The target's cache holds positions [0, position); the anchor, the last
// emitted token, belongs at `position` and is not in the cache yet.
struct ProposeRequest {
  SequenceId sequence = 0;
  int32_t anchor = 0;
  int64_t position = 0;
  std::span<const int32_t> history;  // tokens at [0, position], the anchor included
  double temperature = 0.0;  // of the request's sampling; children are ranked by logits/T + keyed noise
  uint64_t seed = 0;
  int32_t nodes_max = 0;  // drafted nodes wanted at most
  // How deep a model's draft is wanted. A model drafts as deep as it was trained for. It drafts as deep as it
  // can where this is deeper than trained and more nodes are wanted than the trained depth.
  int32_t model_depth = INT32_MAX;
  TreeShape shape = TreeShape::kBestFirst;
  // What may be said behind the anchor; null: anything. Only tokens that it allows are proposed, and those that it
  // forces are proposed whatever the sources say.
  const Constraint* constraint = nullptr;
  // What the client predicts to follow the anchor. While there is any of it, no other source is asked.
  std::span<const int32_t> predicted;
  const AcceptanceTable* acceptance = nullptr;  // null: default_acceptance
  // Which sources may propose. At least one.
  bool use_model = true;
  bool use_ngram = false;
  // For rejection acceptance (dspark.md 2.3): draw a chain from the draft's own distribution at `temperature`
  // > 0 instead of ranking tokens with the target's noise. The noise is NoiseStream::kDraft, keyed by the
  // anchor's position, with the depth as index.
  bool draw = false;
};

// Rows that the target has just committed for one sequence, in order of position.
struct ObservedRows {
  SequenceId sequence = 0;
  int64_t first_position = 0;
  std::span<const int32_t> rows;  // row indices in the ForwardOutput
  // The token at position + 1 of each row; for the last row it is the new anchor.
  std::span<const int32_t> next_tokens;
};

// A snapshot can be taken of a length up to this many tokens below the sequence's end. A verify step commits
// fewer.
inline constexpr int32_t kSnapshotBehind = 32;

// A drafter's part of a snapshot. A sequence that continues from it drafts as if it had observed the prefix
// itself. Must not outlive its drafter.
class DraftSnapshot {
 public:
  virtual ~DraftSnapshot() = default;
  virtual int64_t bytes() const = 0;
};

// Depths to which a model can draft: as trained, and at most. The deeper draft costs more time.
struct ModelDepth {
  int trained = 0;
  int most = 0;
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  // As drafter_names() lists it (drafter_registry.h).
  virtual std::string_view name() const = 0;
  // The sources that requests may ask for; a request for another source is ignored. A model's by the name of
  // its row in the registry, "" without one.
  virtual std::string_view model_name() const { return {}; }
  bool has_model() const { return !model_name().empty(); }
  virtual bool has_ngram() const { return false; }
  // Depth of the deepest node it can propose.
  virtual int depth_max() const = 0;
  // The depths of its model; zeros without a model.
  virtual ModelDepth model_depth() const { return {}; }
  // A target sequence begins; its id may have been used before and closed. `length_max` is the longest it may
  // become. With `from`, it continues the sequence that the snapshot (of this drafter) was taken of.
  virtual void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) = 0;
  // The state of an open sequence after its first `length` tokens, up to kSnapshotBehind fewer than it has
  // observed; null if nothing needs to be kept.
  virtual std::unique_ptr<DraftSnapshot> snapshot(SequenceId sequence, int64_t length) = 0;
  // Shows the drafter the rows that the target committed in this step. `output` is the forward call that made
  // them, still valid. Must be called for every committed row of prefill and decode, in order. It only copies
  // rows: the draft's own computation on them waits for the next propose() of the sequence. The first rows of
  // a fresh sequence may be at any position; the drafter knows of nothing before them.
  virtual void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) = 0;
  // Fills trees[i] for requests[i] with at most nodes_max nodes; the tree is empty where there is no guess.
  virtual void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) = 0;
  virtual void close(SequenceId sequence) = 0;
};

// Limits shared with the target's cache.
struct DraftLimits {
  int32_t sequences = 1;
  int32_t rows = 512;  // rows of one observe()
  int64_t context = 0;
};

}  // namespace ft::draft
