// What a drafter is: it watches what the target commits and proposes a scored tree of tokens that may come
// next.
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
#include "core/error.h"
#include "core/model.h"

namespace ft::draft {

// One drafted token. Its depth is its parent's plus one; depth 1 follows the anchor.
struct DraftNode {
  int32_t token = 0;
  int32_t parent = -1;  // index of an earlier node, -1 = the anchor
  float path_probability =
      0.0f;  // estimate that the target's own path runs through this node; <= the parent's
};

// Parents before children, siblings with distinct tokens; the anchor is not listed.
struct DraftTree {
  std::vector<DraftNode> nodes;
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
  TreeShape shape = TreeShape::kBestFirst;
};

// Rows that the target has just committed for one sequence, in order of position.
struct ObservedRows {
  SequenceId sequence = 0;
  int64_t first_position = 0;
  std::span<const int32_t> rows;  // row indices in the ForwardOutput
  std::span<const int32_t>
      next_tokens;  // the token at position + 1 of each row; for the last one the new anchor
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  virtual std::string_view name() const = 0;  // "dspark", "mtp", "ngram", "none"
  // Depth of the deepest node it can propose.
  virtual int depth_max() const = 0;
  // A target sequence begins; its id may have been used before and closed. `length_max` as given to
  // KvCache::open.
  virtual void open(SequenceId sequence, int64_t length_max) = 0;
  // The target's committed rows of this step. `output` is the forward call they came from, still valid. Must
  // be called for every committed row of prefill and decode, in order.
  virtual void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) = 0;
  // Fills trees[i] for requests[i]; an empty tree where there is nothing to say. At most nodes_max nodes
  // each.
  virtual void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) = 0;
  virtual void close(SequenceId sequence) = 0;
};

// Limits shared with the target's cache.
struct DraftLimits {
  int32_t sequences = 1;
  int32_t rows = 512;  // rows of one observe()
  int64_t context = 0;
};

enum class DrafterKind : uint8_t { kAuto, kDspark, kMtp, kNgram, kNone };

Result<DrafterKind> parse_drafter_kind(std::string_view name);

// Makes a drafter. kAuto takes what the checkpoint carries: dspark, else mtp, else ngram. kInvalidArgument
// with the reason when the checkpoint lacks what `kind` needs. `checkpoint` and `backend` must outlive it.
Result<std::unique_ptr<Drafter>> make_drafter(DrafterKind kind, Backend& backend,
                                              const Checkpoint& checkpoint, const DraftLimits& limits);

}  // namespace ft::draft
